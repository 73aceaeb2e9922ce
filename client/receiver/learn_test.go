package receiver_test

import (
	"errors"
	"testing"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/autocrypt"
	"leap.example/client/mailmime/hp"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/soledad"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

func TestLearnsAutocrypt(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@far.example")
	mate := newPerson(t, p.dir, "mate@leap.example")
	field := func(a nick.Address, k nick.Key) string {
		f, err := autocrypt.Key{Address: a, Data: k.Binary}.Field(autocrypt.Name)
		check(t, err)
		return f.Value()
	}
	known := func(a nick.Address) bool {
		_, _, err := d.keys.Find(t.Context(), a)
		if err != nil && !errors.Is(err, problem.NotExist) {
			t.Fatal(err)
		}
		return err == nil
	}
	message := func(from nick.Address, k nick.Key) []byte {
		return header("From", string(from), "Autocrypt", field(from, k)).Message([]byte("x"))
	}
	pass := envelope.Header{DMARC: "pass"}
	d.read(t, envelope.Header{DMARC: "fail"}, message(ann.addr, ann.key))
	d.read(t, pass, header("From", "eve@far.example", "Autocrypt", field(ann.addr, ann.key)).Message([]byte("x")))
	d.read(t, pass, message(mate.addr, mate.key))
	if known(mate.addr) {
		t.Error("a key of the provider's own domain was learned from a message")
	}
	d.read(t, pass, message(ann.addr, ann.key))
	if !known(ann.addr) {
		t.Error("a key was not learned")
	}
	// Another key for her in an unauthentic or an authentic message does not
	// take its place.
	other := newPerson(t, p.dir, "ann@far.example")
	d.read(t, pass, message(ann.addr, other.key))
	if k, _, err := d.keys.Find(t.Context(), ann.addr); err != nil || k.Fingerprint != ann.key.Fingerprint {
		t.Errorf("the key became %s, %v", k.Fingerprint, err)
	}
}

func TestLearnsGossip(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@far.example")
	carl := newPerson(t, p.dir, "carl@far.example")
	p.dir.publish(ann.addr, ann.key)
	own, err := d.keys.Own(t.Context())
	check(t, err)
	f, err := autocrypt.Key{Address: carl.addr, Data: carl.key.Binary}.Field(autocrypt.Gossip)
	check(t, err)
	for _, tt := range []struct {
		name, to string
		by       person
		want     bool
	}{
		{"not named", "bob@leap.example", ann, false},
		{"not signed by the author", "bob@leap.example, carl@far.example", carl, false},
		{"named and signed", "bob@leap.example, carl@far.example", ann, true},
	} {
		payload, outer := hp.Protect(mailmime.Parse(header("From", "ann@far.example", "To", tt.to, "Subject", "s").Message([]byte("x"))), hp.Cipher)
		d.read(t, envelope.Header{}, pgpmime.Encrypt(outer, tt.by.encrypt(t, string(f.Raw)+string(payload), own.Key())))
		d.docs.View(t.Context(), func(tx *soledad.Tx) error {
			if _, err := tx.Get("key/carl@far.example"); (err == nil) != tt.want {
				t.Errorf("%s: learned %v, want %v", tt.name, err == nil, tt.want)
			}
			return nil
		})
	}
}
