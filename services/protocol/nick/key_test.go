package nick_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestParseKey reads keys that GnuPG made.
func TestParseKey(t *testing.T) {
	year := func(y int) string { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) }
	for _, tt := range []struct {
		file      string
		addresses []nick.Address
		expires   string
	}{
		{"rsa.asc", []nick.Address{"joe.doe@example.org"}, year(2030)},
		{"curve.asc", []nick.Address{"curve@example.org", "second@example.org"}, year(2031)},
	} {
		k, err := nick.ParseKey(read(t, tt.file))
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
			continue
		}
		if diff := cmp.Diff(tt.addresses, k.Addresses); diff != "" {
			t.Errorf("%s: addresses -want +got\n%s", tt.file, diff)
		}
		if got := k.Expires.UTC().Format(time.DateOnly); got != tt.expires {
			t.Errorf("%s expires %s, want %s", tt.file, got, tt.expires)
		}
		if k.Expired(k.Expires.Add(-time.Second)) || !k.Expired(k.Expires) || len(k.Fingerprint) != 40 || k.Created.IsZero() || k.Updated.Before(k.Created) {
			t.Errorf("%s: got %+v", tt.file, k)
		}
		again, err := nick.ParseKey(k.Armored)
		if diff := cmp.Diff(k, again); err != nil || diff != "" {
			t.Errorf("%s changes when it is read again: %v\n%s", tt.file, err, diff)
		}
	}
	k, err := nick.ParseKeyBinary([]byte(read(t, "curve.gpg")))
	if err != nil || !k.Has("curve@example.org") || !k.Has("second+x@example.org") || k.Has("joe@example.org") {
		t.Errorf("binary: %+v, %v", k, err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	rsa := read(t, "rsa.asc")
	for name, armored := range map[string]string{
		"private":    read(t, "private.asc"),
		"sign only":  read(t, "sign-only.asc"),
		"several":    read(t, "several.asc"),
		"no address": read(t, "no-address.asc"),
		"two blocks": rsa + read(t, "curve.asc"),
		"text":       "hello " + rsa,
		"truncated":  rsa[:len(rsa)/2],
		"empty":      "",
		"too long":   rsa + strings.Repeat("\n", nick.MaxKey),
		"relabelled": strings.ReplaceAll(read(t, "private.asc"), "PRIVATE", "PUBLIC"),
	} {
		if _, err := nick.ParseKey(armored); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := nick.ParseKey(read(t, "revoked.asc"))
	if r, ok := errors.AsType[*nick.RevokedError](err); !ok || len(r.Fingerprint) != 40 || !errors.Is(err, problem.Invalid) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := nick.ParseKeyBinary(make([]byte, nick.MaxKey+1)); !errors.Is(err, problem.Invalid) {
		t.Errorf("binary too long: %v", err)
	}
}

// FuzzParseKey checks that what is accepted is accepted again, unchanged.
func FuzzParseKey(f *testing.F) {
	for _, name := range []string{"rsa.asc", "curve.asc", "private.asc", "revoked.asc"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := nick.ParseKey(s)
		if err != nil {
			return
		}
		checkStable(t, k)
	})
}

// FuzzParseKeyBinary does the same below the armor.
func FuzzParseKeyBinary(f *testing.F) {
	f.Add([]byte(read(f, "curve.gpg")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := nick.ParseKeyBinary(data)
		if err != nil {
			return
		}
		checkStable(t, k)
	})
}

func checkStable(t *testing.T, k nick.Key) {
	t.Helper()
	again, err := nick.ParseKeyBinary(k.Binary)
	if diff := cmp.Diff(k, again); err != nil || diff != "" {
		t.Errorf("changes when it is read again: %v\n%s", err, diff)
	}
}
