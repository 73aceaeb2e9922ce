// Package storetest is the conformance suite of nickserver.Identities, and a
// store in memory that passes it. The one in services/couch passes it too.
package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"leap.example/services/nickserver"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Memory is a nickserver.Identities in memory.
type Memory []*record.Identity

// ByAddress implements nickserver.Identities.
func (m Memory) ByAddress(_ context.Context, addr nick.Address) (*record.Identity, error) {
	return m.one(func(id *record.Identity) bool { return id.Address == string(addr) })
}

// ByWKD implements nickserver.Identities.
func (m Memory) ByWKD(_ context.Context, hash string) (*record.Identity, error) {
	return m.one(func(id *record.Identity) bool { return id.WKD == hash })
}

// ByFingerprint implements nickserver.Identities.
func (m Memory) ByFingerprint(_ context.Context, fpr string) (*record.Identity, error) {
	return m.one(func(id *record.Identity) bool {
		return fpr != "" && (id.Fingerprint == fpr || len(fpr) == 16 && keyID(id.Fingerprint) == fpr)
	})
}

// keyID is RFC 9580, 5.5.4.
func keyID(fpr string) string {
	switch len(fpr) {
	case 40:
		return fpr[24:]
	case 64:
		return fpr[:16]
	}
	return ""
}

func (m Memory) one(match func(*record.Identity) bool) (*record.Identity, error) {
	var got *record.Identity
	for _, id := range m {
		if match(id) {
			if got != nil {
				return nil, problem.NotExist.Errorf("more than one identity")
			}
			got = id
		}
	}
	if got == nil {
		return nil, problem.NotExist.Errorf("no such identity")
	}
	return got, nil
}

// Test runs the suite. open returns a store that holds exactly ids.
func Test(t *testing.T, open func(t *testing.T, ids []*record.Identity) nickserver.Identities) {
	fpr4, fpr6 := strings.Repeat("a1b2c3d4e5", 4), strings.Repeat("0123456789abcdef", 4)
	s := open(t, []*record.Identity{
		identity("alice", fpr4, true),
		identity("bob", fpr6, true),
		identity("carol", strings.Repeat("00", 4)+strings.Repeat("ff", 16), true),
		identity("dora", strings.Repeat("11", 4)+strings.Repeat("ff", 16), false),
		identity("eve", "", true),
	})
	for _, tt := range []struct {
		name string
		ask  func(context.Context) (*record.Identity, error)
		want string // Local part; empty: problem.NotExist.
	}{
		{"address", func(ctx context.Context) (*record.Identity, error) { return s.ByAddress(ctx, "alice@example.org") }, "alice"},
		{"address without key", func(ctx context.Context) (*record.Identity, error) { return s.ByAddress(ctx, "eve@example.org") }, "eve"},
		{"disabled address", func(ctx context.Context) (*record.Identity, error) { return s.ByAddress(ctx, "dora@example.org") }, "dora"},
		{"unknown address", func(ctx context.Context) (*record.Identity, error) { return s.ByAddress(ctx, "zoe@example.org") }, ""},
		{"hash", func(ctx context.Context) (*record.Identity, error) { return s.ByWKD(ctx, nick.WKDHash("bob")) }, "bob"},
		{"unknown hash", func(ctx context.Context) (*record.Identity, error) { return s.ByWKD(ctx, nick.WKDHash("zoe")) }, ""},
		{"fingerprint", func(ctx context.Context) (*record.Identity, error) { return s.ByFingerprint(ctx, fpr4) }, "alice"},
		{"fingerprint of version 6", func(ctx context.Context) (*record.Identity, error) { return s.ByFingerprint(ctx, fpr6) }, "bob"},
		{"unknown fingerprint", func(ctx context.Context) (*record.Identity, error) {
			return s.ByFingerprint(ctx, strings.Repeat("0", 40))
		}, ""},
		{"key id", func(ctx context.Context) (*record.Identity, error) { return s.ByFingerprint(ctx, fpr4[24:]) }, "alice"},
		{"key id of version 6", func(ctx context.Context) (*record.Identity, error) { return s.ByFingerprint(ctx, fpr6[:16]) }, "bob"},
		{"key id of two keys", func(ctx context.Context) (*record.Identity, error) {
			return s.ByFingerprint(ctx, strings.Repeat("ff", 8))
		}, ""},
		{"no fingerprint", func(ctx context.Context) (*record.Identity, error) { return s.ByFingerprint(ctx, "") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := tt.ask(t.Context())
			if tt.want == "" {
				if !errors.Is(err, problem.NotExist) {
					t.Errorf("got %v, %v; want %v", id, err, problem.NotExist)
				}
				return
			}
			if err != nil || id.Address != tt.want+"@example.org" {
				t.Fatalf("got %v, %v; want %s", id, err, tt.want)
			}
			if (id.Keys["openpgp"].Value != "") != (tt.want != "eve") || id.Enabled != (tt.want != "dora") || id.UserID == "" {
				t.Errorf("the identity came back as %+v", id)
			}
		})
	}
}

// identity returns the identity of a user with a key of a fingerprint; without
// a key if that is empty.
func identity(local, fpr string, enabled bool) *record.Identity {
	id := &record.Identity{
		ID:          local + ":example.org",
		Type:        "Identity",
		UserID:      "0123456789abcdef0123456789abcdef",
		Address:     local + "@example.org",
		Destination: local + "@example.org",
		WKD:         nick.WKDHash(local),
		Fingerprint: fpr,
		Enabled:     enabled,
	}
	if fpr != "" {
		id.Keys = map[string]record.Key{"openpgp": {Type: "openpgp", Value: "KEY", Rev: "AAAAAAAAAAA="}}
	}
	return id
}
