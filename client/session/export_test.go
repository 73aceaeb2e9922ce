package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"
	"time"
)

// Hasten has p wait no longer before it asks a silent server whether it is
// there, and for the answer.
func Hasten(t *testing.T, p *Provider, wait time.Duration) {
	t.Helper()
	h := p.trusted.Load().HTTP2
	if h == nil || h.SendPingTimeout == 0 || h.PingTimeout == 0 {
		t.Fatalf("a silent server is never asked: %+v", h)
	}
	h.SendPingTimeout, h.PingTimeout = wait, wait
}

// Forge replaces text inside a vault and makes the checksum fit.
func Forge(t *testing.T, data []byte, old, text string) []byte {
	t.Helper()
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	s.Vault = bytes.ReplaceAll(s.Vault, []byte(old), []byte(text))
	sum := sha256.Sum256(s.Vault)
	s.Sum = sum[:]
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ParseVault parses data and, when its checksum is made to fit, what is inside.
func ParseVault(t *testing.T, data []byte) {
	t.Helper()
	check := func(data []byte) {
		if f, err := parseVault(data); err == nil && (f.Version != vaultVersion || len(f.Wraps) == 0) {
			t.Errorf("accepted %+v", f)
		}
	}
	check(data)
	if json.Valid(data) {
		sum := sha256.Sum256(data)
		if outer, err := json.Marshal(sealed{data, sum[:]}); err == nil {
			check(outer)
		}
	}
}
