package keymanager_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"leap.example/client/keymanager"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const day = 24 * time.Hour

func TestFindAsksOnceADay(t *testing.T) {
	alice, bob, d, c := correspond(t)
	d.count()
	steps := []struct {
		name  string
		after time.Duration
		asked int
	}{
		{"first", 0, 1}, {"again", 0, 0}, {"soon", day - time.Second, 0}, {"next day", time.Second, 1}, {"again", 0, 0},
	}
	for _, s := range steps {
		c.add(s.after)
		key, level, err := alice.Find(t.Context(), "bob@example.org")
		if err != nil || key.Fingerprint != bob.own.Fingerprint() || level != nick.Endorsed {
			t.Errorf("%s: %s, %v, %v", s.name, key.Fingerprint, level, err)
		}
		if n := d.count(); n != s.asked {
			t.Errorf("%s: asked %d times, want %d", s.name, n, s.asked)
		}
	}
	// The provider is away: the known key is used.
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, problem.Unavailable)
	c.add(day)
	if key, _, err := alice.Find(t.Context(), "bob@example.org"); err != nil || key.Fingerprint != bob.own.Fingerprint() {
		t.Errorf("provider away: %v", err)
	}
	// It no longer knows the key: neither is that a reason to forget it.
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, problem.NotExist)
	if _, _, err := alice.Find(t.Context(), "bob@example.org"); err != nil {
		t.Errorf("withdrawn: %v", err)
	}
	if key, level, err := alice.Find(t.Context(), "alice@example.org"); err != nil || key.Fingerprint != alice.own.Fingerprint() || level != nick.Compared {
		t.Errorf("own key: %v", err)
	}
}

func TestFindNothing(t *testing.T) {
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	find := func(want error, asked int) {
		t.Helper()
		if _, _, err := alice.Find(t.Context(), "bob@example.org"); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		if n := d.count(); n != asked {
			t.Errorf("asked %d times, want %d", n, asked)
		}
	}
	// A directory that cannot be asked is not one that says no.
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, problem.Unavailable)
	find(problem.Unavailable, 1)
	find(problem.Unavailable, 1)
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, problem.NotExist)
	find(problem.NotExist, 1)
	find(problem.NotExist, 0)
	c.add(time.Hour)
	find(problem.NotExist, 1)
	// The key appears.
	d.set("bob@example.org", newPair(t, c, 0, "bob@example.org").key, nick.Endorsed, nil)
	find(problem.NotExist, 0)
	c.add(time.Hour)
	find(nil, 1)
}

func TestKeyChanges(t *testing.T) {
	alice, bob, d, c := correspond(t)
	alice.find(t, "bob@example.org")
	other := newPair(t, c, 0, "bob@example.org")
	check := func(step string, offered nick.Key, level nick.Level, want, refused string) {
		t.Helper()
		d.set("bob@example.org", offered, level, nil)
		c.add(day)
		if key, _, err := alice.Find(t.Context(), "bob@example.org"); err != nil || key.Fingerprint != want {
			t.Errorf("%s: key %s, %v; want %s", step, key.Fingerprint, err, want)
		}
		list, err := alice.List(t.Context())
		if err != nil || len(list) != 2 || list[1].Refused != refused {
			t.Errorf("%s: refused %+v, %v; want %q", step, list, err, refused)
		}
	}
	check("same level", other.key, nick.Endorsed, bob.own.Fingerprint(), other.key.Fingerprint)
	check("better level", other.key, nick.Consensus, other.key.Fingerprint, "")

	// A key that the known one has signed follows it, whoever brings it.
	next := newPair(t, c, 0, "bob@example.org")
	check("not signed", next.key, nick.Seen, other.key.Fingerprint, next.key.Fingerprint)
	for name := range next.e.Identities {
		if err := next.e.SignIdentity(name, other.e, nil); err != nil {
			t.Fatal(err)
		}
	}
	check("signed by the old", public(t, next.e), nick.Seen, next.key.Fingerprint, "")

	// What the user compared, counts.
	if err := alice.Learn(t.Context(), "bob@example.org", bob.own.Public(), nick.Compared); err != nil {
		t.Fatal(err)
	}
	check("compared", other.key, nick.Consensus, bob.own.Fingerprint(), other.key.Fingerprint)
}

func TestExpiry(t *testing.T) {
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	short := newPair(t, c, 10*day, "bob@example.org")
	d.set("bob@example.org", short.key, nick.Endorsed, nil)
	// Use in both directions does not keep the expired key in force.
	alice.encrypt(t, "hello", alice.find(t, "bob@example.org"))
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, []*openpgp.Entity{short.e}, strings.NewReader("hi"), nil); err != nil {
		t.Fatal(err)
	}
	if s := alice.VerifyDetached(t.Context(), []byte("hi"), sig.Bytes(), "bob@example.org"); s.State != keymanager.SigValid {
		t.Fatalf("signature of bob: %v", s.State)
	}
	if _, level, err := alice.Find(t.Context(), "bob@example.org"); err != nil || level != nick.UsedBoth {
		t.Errorf("used both ways: %v, %v", level, err)
	}
	c.add(11 * day)
	if _, _, err := alice.Find(t.Context(), "bob@example.org"); !errors.Is(err, problem.NotExist) {
		t.Errorf("expired: %v", err)
	}
	next := newPair(t, c, 0, "bob@example.org")
	d.set("bob@example.org", next.key, nick.Endorsed, nil)
	c.add(time.Hour)
	if key := alice.find(t, "bob@example.org"); key.Fingerprint != next.key.Fingerprint {
		t.Error("the expired key was not replaced")
	}
}

func TestRevoked(t *testing.T) {
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	bob := newPair(t, c, 0, "bob@example.org")
	d.set("bob@example.org", bob.key, nick.Endorsed, nil)
	alice.find(t, "bob@example.org")
	// Another's revocation changes nothing.
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, &nick.RevokedError{Fingerprint: "0123"})
	c.add(day)
	alice.find(t, "bob@example.org")
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, &nick.RevokedError{Fingerprint: bob.key.Fingerprint})
	c.add(day)
	if _, _, err := alice.Find(t.Context(), "bob@example.org"); err == nil {
		t.Error("a revoked key is used")
	}
	// An old copy without the revocation does not bring it back; a new key does.
	d.set("bob@example.org", bob.key, nick.Consensus, nil)
	c.add(day)
	if _, _, err := alice.Find(t.Context(), "bob@example.org"); !errors.Is(err, problem.NotExist) {
		t.Errorf("old copy: %v", err)
	}
	next := newPair(t, c, 0, "bob@example.org")
	d.set("bob@example.org", next.key, nick.Consensus, nil)
	c.add(day)
	if key := alice.find(t, "bob@example.org"); key.Fingerprint != next.key.Fingerprint {
		t.Error("the revoked key was not replaced")
	}
}

func TestLearn(t *testing.T) {
	d, c := newDirectory(), newClock()
	alice := newUser(t, d, c, "alice@example.org")
	bob := newPair(t, c, 0, "bob@example.org", "robert@example.org")
	learn := func(a nick.Address, armored string) error {
		return alice.Learn(t.Context(), a, armored, nick.Seen)
	}
	if err := learn("carol@example.org", bob.key.Armored); !errors.Is(err, problem.Invalid) {
		t.Errorf("key of another: %v", err)
	}
	if err := learn("bob@example.org", "hello"); !errors.Is(err, problem.Invalid) {
		t.Errorf("no key: %v", err)
	}
	if err := learn("bob+x@example.org", bob.key.Armored); err != nil {
		t.Error(err)
	}
	d.set("bob@example.org", nick.Key{}, nick.NoTrust, problem.Unavailable)
	if key, level, err := alice.Find(t.Context(), "bob@example.org"); err != nil || key.Fingerprint != bob.key.Fingerprint || level != nick.Seen {
		t.Errorf("learnt: %v, %v", level, err)
	}
	// Asking confirms it.
	d.set("bob@example.org", bob.key, nick.Endorsed, nil)
	if _, level, err := alice.Find(t.Context(), "bob@example.org"); err != nil || level != nick.Endorsed {
		t.Errorf("confirmed: %v, %v", level, err)
	}
	if err := learn("bob@example.org", bob.key.Armored); err != nil {
		t.Error(err)
	}
	if _, level, err := alice.Find(t.Context(), "bob@example.org"); err != nil || level != nick.Endorsed {
		t.Errorf("seen again: %v, %v", level, err)
	}
	if err := learn("alice@example.org", newPair(t, c, 0, "alice@example.org").key.Armored); err != nil {
		t.Error(err)
	}
	if key := alice.find(t, "alice@example.org"); key.Fingerprint != alice.own.Fingerprint() {
		t.Error("somebody taught us our own key")
	}
}

var _ keymanager.Lookup = (*directory)(nil)
