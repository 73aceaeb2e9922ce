package nick_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	for in, want := range map[string]nick.Address{
		"Alice@Example.ORG":       "alice@example.org",
		"a@b":                     "a@b",
		"joe.doe+list@x-y.z":      "joe.doe+list@x-y.z",
		"o'neil/x=y@example.org":  "o'neil/x=y@example.org",
		long + "@example.org":     nick.Address(long + "@example.org"),
		long + "a@example.org":    "",
		"":                        "",
		"@":                       "",
		"a@":                      "",
		"@b":                      "",
		"a@@b":                    "",
		"a@b@c":                   "",
		".a@b":                    "",
		"a.@b":                    "",
		"a..b@c":                  "",
		"a b@c":                   "",
		"a@b c":                   "",
		"a@b.":                    "",
		"a@-b":                    "",
		"a@b-":                    "",
		"a@b_c":                   "",
		"a@[127.0.0.1]":           "",
		`"a"@b`:                   "",
		"ä@b":                     "",
		"a@ä":                     "",
		"\u212Aelvin@example.org": "", // The Kelvin sign is not our k.
		"a\r\n@b":                 "",
		"a@" + long:               "",
		"a@" + strings.Repeat("abcdefg.", 32) + "org": "",
	} {
		got, err := nick.ParseAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
		if err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("ParseAddress(%q): %v is not Invalid", in, err)
		}
	}
}

func TestAddressParts(t *testing.T) {
	for _, tt := range []struct{ a, base nick.Address }{
		{"joe+list@example.org", "joe@example.org"},
		{"joe@example.org", "joe@example.org"},
		{"+joe@example.org", "+joe@example.org"},
		{"a+b+c@example.org", "a@example.org"},
	} {
		if got := tt.a.Base(); got != tt.base {
			t.Errorf("Base(%s) = %s, want %s", tt.a, got, tt.base)
		}
	}
	a := nick.Address("joe+list@example.org")
	if a.Local() != "joe+list" || a.Domain() != "example.org" {
		t.Errorf("parts of %s: %q, %q", a, a.Local(), a.Domain())
	}
	if z := nick.Address(""); z.Local() != "" || z.Domain() != "" || z.Base() != "" {
		t.Error("the empty address has parts")
	}
}

func TestWKD(t *testing.T) {
	const want = "iy9q119eutrkn8s1mk4r39qejnbu3n5q"
	for _, local := range []string{"joe.doe", "Joe.Doe"} {
		if got := nick.WKDHash(local); got != want {
			t.Errorf("WKDHash(%q) = %s, want %s", local, got, want)
		}
	}
	// The hash of this name begins with two zero bytes.
	if got := nick.WKDHash("name83212"); len(got) != 32 || !strings.HasPrefix(got, "yyy") {
		t.Errorf("WKDHash(name83212) = %s, want 32 characters from yyy", got)
	}
	adv, direct := nick.WKDPaths("joe.doe@example.org")
	if adv != "openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/"+want+"?l=joe.doe" ||
		direct != "example.org/.well-known/openpgpkey/hu/"+want+"?l=joe.doe" {
		t.Errorf("paths: %s\n%s", adv, direct)
	}
	if _, direct := nick.WKDPaths("a+b@example.org"); !strings.HasSuffix(direct, "?l=a%2Bb") {
		t.Errorf("not escaped: %s", direct)
	}
}

func TestParseReply(t *testing.T) {
	alice := nick.Address("alice@example.org")
	for _, tt := range []struct {
		body string
		want nick.Reply
		err  error
	}{
		{`{"address":"Alice@example.org","openpgp":"KEY","katzenpost_id":{}}`, nick.Reply{Address: &alice, OpenPGP: "KEY"}, nil},
		{`{"address":null,"openpgp":"KEY"}`, nick.Reply{OpenPGP: "KEY"}, nil},
		{`{}`, nick.Reply{}, problem.NotExist},
		{`{"address":"x","openpgp":"KEY"}`, nick.Reply{}, problem.Invalid},
		{`404 Not Found`, nick.Reply{}, problem.Invalid},
	} {
		got, err := nick.ParseReply([]byte(tt.body))
		if diff := cmp.Diff(tt.want, got); !errors.Is(err, tt.err) || diff != "" {
			t.Errorf("%s: %v\n%s", tt.body, err, diff)
		}
	}
}

func TestCanReplace(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	past, future := now.Add(-time.Hour), now.Add(time.Hour)
	old := nick.Pin{Fingerprint: "old", Level: nick.Endorsed, Expires: future}
	used := old
	used.Encrypted, used.Verified = true, true
	expired := used
	expired.Expires = past
	eternal := used
	eternal.Expires = time.Time{}
	half := old
	half.Encrypted = true
	fresh := func(l nick.Level) nick.Pin { return nick.Pin{Fingerprint: "new", Level: l, Expires: future} }
	signed := fresh(nick.Seen)
	signed.CertifiedBy = "old"
	foreign := fresh(nick.Seen)
	foreign.CertifiedBy = "other"
	for _, tt := range []struct {
		name     string
		old, new nick.Pin
		want     bool
	}{
		{"first key", nick.Pin{}, fresh(nick.NoTrust), true},
		{"same key", used, nick.Pin{Fingerprint: "old"}, true},
		{"compared", used, fresh(nick.Compared), true},
		{"expired, same level", expired, fresh(nick.Endorsed), true},
		{"expired, lower level", expired, fresh(nick.KeyServer), false},
		{"no expiry, higher level", eternal, fresh(nick.Logged), true},
		{"no expiry, same level", eternal, fresh(nick.Endorsed), false},
		{"used both ways, higher level", used, fresh(nick.Consensus), false},
		{"used one way, higher level", half, fresh(nick.Logged), true},
		{"not used, same level", old, fresh(nick.Endorsed), false},
		{"signed by the old", used, signed, true},
		{"signed by another", used, foreign, false},
	} {
		got, reason := nick.CanReplace(tt.old, tt.new, now)
		if got != tt.want || reason == "" {
			t.Errorf("%s: %v (%s), want %v", tt.name, got, reason, tt.want)
		}
	}
	if got := nick.Endorsed.String() + nick.Level(99).String() + nick.Level(-1).String(); got != "providerunknownunknown" {
		t.Errorf("names of levels: %s", got)
	}
}

// FuzzParseAddress checks that canonicalization is idempotent.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", "A@B.example", "", "@", "a@@b", "a b@c", "joe+x@a-b.c", "\u212A@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := nick.ParseAddress(s)
		if err != nil {
			return
		}
		if b, err := nick.ParseAddress(string(a)); err != nil || a != b {
			t.Errorf("ParseAddress(%q) = %q; again = %q, %v", s, a, b, err)
		}
		if a.Local()+"@"+a.Domain() != string(a) {
			t.Errorf("%q falls apart", a)
		}
		if b, err := nick.ParseAddress(string(a.Base())); err != nil || b != a.Base() {
			t.Errorf("base %q of %q is no address", a.Base(), a)
		}
	})
}

// FuzzParseReply checks that an accepted answer names a key.
func FuzzParseReply(f *testing.F) {
	f.Add([]byte(`{"address":"a@b","openpgp":"KEY"}`))
	f.Add([]byte(`{"address":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := nick.ParseReply(data); err == nil && r.OpenPGP == "" {
			t.Errorf("no key in %s", data)
		}
	})
}
