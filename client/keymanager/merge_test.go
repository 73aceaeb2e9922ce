package keymanager

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
)

const bob = nick.Address("bob@example.org")

func drawPin() *rapid.Generator[pin] {
	return rapid.Custom(func(t *rapid.T) pin {
		f := rapid.SampledFrom([]string{"aa", "bb"}).Draw(t, "fingerprint")
		return pin{
			Version: version, Address: bob, Fingerprint: f, Armored: f + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "copy"),
			Updated:   time.Unix(rapid.Int64Range(0, 2).Draw(t, "updated"), 0).UTC(),
			Level:     nick.Level(rapid.IntRange(0, int(nick.Compared)).Draw(t, "level")),
			Encrypted: rapid.Bool().Draw(t, "encrypted"), Verified: rapid.Bool().Draw(t, "verified"),
			Revoked: rapid.Bool().Draw(t, "revoked"), Refused: rapid.SampledFrom([]string{"", "cc"}).Draw(t, "refused"),
		}
	})
}

func doc(t interface{ Fatal(...any) }, id, typ string, v any) soledad.Doc {
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return soledad.Doc{ID: id, Type: typ, Body: body}
}

// TestMergePins: every device arrives at the same pin, and it is never weaker
// than either of the two.
func TestMergePins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPin().Draw(t, "a"), drawPin().Draw(t, "b")
		da, db := doc(t, pinID(bob), pinType, a), doc(t, pinID(bob), pinType, b)
		ab, err1 := mergePins(da, db)
		ba, err2 := mergePins(db, da)
		if diff := cmp.Diff(ab, ba); err1 != nil || err2 != nil || diff != "" {
			t.Fatalf("depends on who merges: %v, %v\n%s", err1, err2, diff)
		}
		m, err := parsePin(ab)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []pin{a, b} {
			if !p.Revoked && m.level() < p.level() {
				t.Errorf("level %v became %v", p.level(), m.level())
			}
			if p.Fingerprint == m.Fingerprint && (p.Revoked && !m.Revoked || p.Verified && !m.Verified || m.Updated.Before(p.Updated)) {
				t.Errorf("%+v lost something: %+v", p, m)
			}
			if p.Fingerprint != m.Fingerprint && m.Refused == "" {
				t.Errorf("nobody will hear of %s", p.Fingerprint)
			}
		}
	})
}

func TestMergeDeletedPin(t *testing.T) {
	good := doc(t, pinID(bob), pinType, pin{Version: version, Address: bob, Fingerprint: "aa"})
	gone := soledad.Doc{ID: pinID(bob), Type: pinType, Deleted: true}
	bad := soledad.Doc{ID: pinID(bob), Type: pinType, Body: []byte("x")}
	for name, tt := range map[string]struct{ mine, theirs, want soledad.Doc }{
		"mine deleted":   {gone, good, good},
		"theirs deleted": {good, gone, good},
		"both deleted":   {gone, gone, gone},
		"mine damaged":   {bad, good, good},
		"theirs damaged": {good, bad, good},
	} {
		got, err := mergePins(tt.mine, tt.theirs)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if _, err := mergePins(bad, bad); err == nil {
		t.Error("two damaged pins were merged")
	}
}

// TestMergeSecrets: no own key is ever lost, and all devices choose the same
// active one.
func TestMergeSecrets(t *testing.T) {
	const id = "secret/alice@example.org"
	saved := rapid.Custom(func(t *rapid.T) ownSaved {
		f := rapid.SampledFrom([]string{"aa", "bb", "cc"}).Draw(t, "fingerprint")
		return ownSaved{
			Fingerprint: f, Created: time.Unix(int64(f[0]), 0).UTC(),
			Updated: time.Unix(rapid.Int64Range(0, 2).Draw(t, "updated"), 0).UTC(),
			Private: []byte(f + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "copy")),
		}
	})
	draw := rapid.Custom(func(t *rapid.T) secret {
		keys := rapid.SliceOfNDistinct(saved, 1, 3, func(s ownSaved) string { return s.Fingerprint }).Draw(t, "keys")
		return secret{Version: version, Active: keys[0].Fingerprint, Keys: keys}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		da, db := doc(t, id, secretType, a), doc(t, id, secretType, b)
		ab, err1 := mergeSecrets(da, db)
		ba, err2 := mergeSecrets(db, da)
		if diff := cmp.Diff(ab, ba); err1 != nil || err2 != nil || diff != "" {
			t.Fatalf("depends on who merges: %v, %v\n%s", err1, err2, diff)
		}
		m, err := parseSecret(ab)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []secret{a, b} {
			for _, key := range s.Keys {
				if have := m.find(key.Fingerprint); have == nil || have.Updated.Before(key.Updated) {
					t.Errorf("%s was lost: %+v", key.Fingerprint, m)
				}
			}
		}
	})
	good := doc(t, id, secretType, secret{Version: version, Active: "aa", Keys: []ownSaved{{Fingerprint: "aa"}}})
	bad := soledad.Doc{ID: id, Type: secretType, Deleted: true}
	one, err1 := mergeSecrets(good, bad)
	two, err2 := mergeSecrets(bad, good)
	if _, err := mergeSecrets(bad, bad); err == nil || errors.Join(err1, err2) != nil || cmp.Diff(one, good)+cmp.Diff(two, good) != "" {
		t.Errorf("the own keys were deleted: %v, %v", err1, err2)
	}
}

// FuzzDocuments: what is accepted of a document survives a round.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"v":1,"address":"bob@example.org","fingerprint":"aa","armored":"x","updated":"2026-01-01T00:00:00Z","level":3}`))
	f.Add([]byte(`{"v":1,"active":"aa","keys":[{"fingerprint":"aa","private":"AA=="}]}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := parsePin(soledad.Doc{ID: pinID(bob), Body: body}); err == nil {
			again, err := parsePin(doc(t, pinID(bob), pinType, p))
			if diff := cmp.Diff(p, again); err != nil || diff != "" {
				t.Errorf("pin: %v\n%s", err, diff)
			}
		}
		if s, err := parseSecret(soledad.Doc{Body: body}); err == nil {
			if again, err := parseSecret(doc(t, "", secretType, s)); err != nil || again.Active != s.Active || len(again.Keys) != len(s.Keys) {
				t.Errorf("secret: %+v, %v", again, err)
			}
		}
	})
}
