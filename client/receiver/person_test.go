package receiver_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
	"leap.example/client/soledad"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
)

// A person has keys and writes messages by hand.
type person struct {
	addr nick.Address
	docs *soledad.Store
	keys *keymanager.Keys
	key  nick.Key
}

func newPerson(tb testing.TB, dir *directory, addr nick.Address) person {
	tb.Helper()
	docs, err := soledad.Open(tb.Context(), filepath.Join(tb.TempDir(), "p.db"), [32]byte{1})
	check(tb, err)
	tb.Cleanup(func() { check(tb, docs.Close()) })
	keys := keymanager.New(docs, dir, addr, nil)
	own, err := keys.Create(tb.Context())
	check(tb, err)
	return person{addr, docs, keys, own.Key()}
}

func (p person) encrypt(tb testing.TB, plain string, to nick.Key) []byte {
	tb.Helper()
	armored, err := p.keys.EncryptSign(tb.Context(), []byte(plain), []nick.Key{to})
	check(tb, err)
	return armored
}

func (p person) sign(tb testing.TB, part string) (sig []byte, hash string) {
	tb.Helper()
	sig, hash, err := p.keys.Sign(tb.Context(), []byte(part))
	check(tb, err)
	return sig, hash
}

func header(pairs ...string) (h mailmime.Header) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, mailmime.NewField(pairs[i], pairs[i+1]))
	}
	return h
}

// A reading is what the receiver made of a message.
type reading struct {
	raw   string
	part  *mailmime.Part
	flags string
}

func (d *device) read(tb testing.TB, h envelope.Header, raw []byte) reading {
	tb.Helper()
	stored, flags, _, err := d.rec.Read(tb.Context(), h, raw)
	check(tb, err)
	return reading{string(stored), mailmime.Parse(stored), fmt.Sprint(flags)}
}
