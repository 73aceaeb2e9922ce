package keymanager_test

import (
	"bytes"
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"go.uber.org/goleak"

	"leap.example/client/keymanager"
	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what a directory says of an address.
type answer struct {
	key   nick.Key
	level nick.Level
	err   error
}

// directory is a keymanager.Lookup in memory.
type directory struct {
	mu      sync.Mutex
	answers map[nick.Address]answer
	asked   int
}

func (d *directory) Lookup(_ context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if r, ok := d.answers[a]; ok {
		return r.key, r.level, r.err
	}
	return nick.Key{}, nick.NoTrust, problem.NotExist.Errorf("no key")
}

func (d *directory) set(a nick.Address, key nick.Key, level nick.Level, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[a] = answer{key, level, err}
}

// count returns how often the directory was asked since the last call.
func (d *directory) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.asked
	d.asked = 0
	return n
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func openStore(t *testing.T) *soledad.Store {
	t.Helper()
	s, err := soledad.Open(t.Context(), filepath.Join(t.TempDir(), "store"), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// user is one account with its own store, before a common directory.
type user struct {
	*keymanager.Keys
	store *soledad.Store
	own   *keymanager.OwnKey
}

func newDirectory() *directory { return &directory{answers: map[nick.Address]answer{}} }

func newUser(t *testing.T, d keymanager.Lookup, c *clock, a nick.Address) user {
	t.Helper()
	store := openStore(t)
	k := keymanager.New(store, d, a, c.now)
	own, err := k.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return user{k, store, own}
}

// correspond makes alice and bob, who find each other.
func correspond(t *testing.T) (alice, bob user, d *directory, c *clock) {
	t.Helper()
	d, c = newDirectory(), newClock()
	alice, bob = newUser(t, d, c, "alice@example.org"), newUser(t, d, c, "bob@example.org")
	d.set("alice@example.org", alice.own.Key(), nick.Endorsed, nil)
	d.set("bob@example.org", bob.own.Key(), nick.Endorsed, nil)
	return alice, bob, d, c
}

// pair is an OpenPGP key of somebody else.
type pair struct {
	e   *openpgp.Entity
	key nick.Key
}

func newPair(t testing.TB, c *clock, life time.Duration, addresses ...nick.Address) pair {
	t.Helper()
	cfg := &packet.Config{
		Time: c.now, Algorithm: packet.PubKeyAlgoEdDSA, Curve: packet.Curve25519, KeyLifetimeSecs: uint32(life / time.Second),
	}
	e, err := openpgp.NewEntity("", "", string(addresses[0]), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses[1:] {
		if err := e.AddUserId("", "", string(a), cfg); err != nil {
			t.Fatal(err)
		}
	}
	return pair{e, public(t, e)}
}

func public(t testing.TB, e *openpgp.Entity) nick.Key {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	key, err := nick.ParseKeyBinary(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return key
}
