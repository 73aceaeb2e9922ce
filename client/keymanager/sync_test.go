package keymanager_test

import (
	"crypto/rand"
	"testing"
	"time"

	"leap.example/client/keymanager"
	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
	"leap.example/services/protocol/nick"
)

// TestDevices: two devices of one account, offline at first, end with the same
// keys and lose none.
func TestDevices(t *testing.T) {
	server := soledadtest.NewServer()
	defer server.Close()
	server.AddUser("a11ce", "token")
	ring, err := soledad.NewKeyring(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, c := newDirectory(), newClock()
	one := newUser(t, d, c, "alice@example.org")
	c.add(time.Minute)
	two := newUser(t, d, c, "alice@example.org") // Did not synchronise before.
	devices := []user{one, two}
	weak, strong := newPair(t, c, 0, "bob@example.org"), newPair(t, c, 0, "bob@example.org")
	toBoth := [][]byte{}
	for _, own := range []*keymanager.OwnKey{one.own, two.own} {
		toBoth = append(toBoth, one.encrypt(t, "hello", own.Key()))
	}
	if err := one.Learn(t.Context(), "bob@example.org", strong.key.Armored, nick.Endorsed); err != nil {
		t.Fatal(err)
	}
	if err := two.Learn(t.Context(), "bob@example.org", weak.key.Armored, nick.Seen); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, u := range devices {
			res, err := u.store.Sync(t.Context(), server.Remote("a11ce"), ring)
			if err != nil || res.Quarantined != 0 {
				t.Fatalf("sync: %+v, %v", res, err)
			}
		}
	}
	for i, u := range devices {
		own, err := u.Own(t.Context())
		if err != nil || own.Fingerprint() != one.own.Fingerprint() {
			t.Errorf("device %d: own key %s, %v; want the older one", i, own.Fingerprint(), err)
		}
		for j, m := range toBoth {
			if _, _, err := u.Decrypt(t.Context(), m); err != nil {
				t.Errorf("device %d cannot read what was sent to key %d: %v", i, j, err)
			}
		}
		list, err := u.List(t.Context())
		if err != nil || len(list) != 2 || list[1].Fingerprint != strong.key.Fingerprint || list[1].Refused != weak.key.Fingerprint {
			t.Errorf("device %d: %+v, %v", i, list, err)
		}
		// The index follows pins that came from the other device.
		if key := u.find(t, "bob@example.org"); key.Fingerprint != strong.key.Fingerprint {
			t.Errorf("device %d: key %s", i, key.Fingerprint)
		}
	}
}
