package tufrepo

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"1.2.0","why":"","made":"2026-06-01T12:00:00Z","roles":[{"role":"release","version":2,"sha256":"00"}],"files":[{"path":"client/a/1/leapc","length":1,"sha256":"00"}],"names":{"00":"alice"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parseEvent(text)
		if err != nil {
			return
		}
		for _, r := range e.Roles {
			if strings.ContainsAny(r.Role, "/.") {
				t.Errorf("role %q leaves its directory", r.Role)
			}
		}
		for _, c := range e.Files {
			if !filepath.IsLocal(c.Path) {
				t.Errorf("file %q leaves its directory", c.Path)
			}
		}
		again, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseEvent(again); err != nil {
			t.Errorf("not read again: %v: %s", err, again)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	id := strings.Repeat("ab", 32)
	f.Add([]byte(`{"format":1,"event":"1.2.0","role":"release","version":2,"sha256":"` + id + `","keyid":"` + id + `","sig":"00ff"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSignature(text)
		if err != nil {
			return
		}
		once, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		s2, err := ParseSignature(once)
		if err != nil || *s2 != *s {
			t.Errorf("%s is read as %v, then %v (%v)", text, s, s2, err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"alice","key":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + strings.Repeat("ab", 32) + `"}}}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParsePublicKey("x", text)
		if err != nil {
			return
		}
		once, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		k2, err := ParsePublicKey("x", once)
		if err != nil || k2.ID() != k.ID() {
			t.Errorf("%s is read as another key: %v", text, err)
		}
		_ = verified(k.Key, []byte("payload"), []byte("no signature")) // It must not panic.
	})
}

// FuzzParseRole: what a signer is shown and what is signed come from any bytes
// without a panic, and the same again from what was written.
func FuzzParseRole(f *testing.F) {
	k := signers(f, "alice", "bob", "rollout", "online")
	e, err := Init(filepath.Join(f.TempDir(), "repo"), founding(k), begin)
	if err != nil {
		f.Fatal(err)
	}
	for _, role := range e.Roles {
		text, err := os.ReadFile(filepath.Join(e.Dir, "new", role+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(role, text)
	}
	f.Add("release", []byte(`{"signed":{"_type":"targets","targets":{"x":null}}}`)) // go-tuf panics.
	f.Fuzz(func(t *testing.T, role string, text []byte) {
		s, err := parseRole(role, text)
		if err != nil {
			return
		}
		if _, err := changes(nil, s, nil); err != nil {
			t.Fatal(err)
		}
		for _, d := range append(s.delegations(), "root", "targets") {
			if k, ok := s.delegate(d); ok {
				_ = k.judge(d, s.payload, *s.signatures(), nil) // It must not panic.
			}
		}
		once, err := s.bytes()
		if err != nil {
			t.Fatal(err)
		}
		s2, err := parseRole(role, once)
		if err != nil || !bytes.Equal(s2.payload, s.payload) {
			t.Errorf("another payload after writing: %v", err)
		}
	})
}
