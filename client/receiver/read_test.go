package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
	"leap.example/client/mailmime/hp"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/receiver"
	"leap.example/client/smtpd"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
)

func TestSignaturesAndEncryption(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@far.example")
	eve := newPerson(t, p.dir, "eve@far.example")
	p.dir.publish(ann.addr, ann.key)
	p.dir.publish(eve.addr, eve.key)
	nobody := newPerson(t, p.dir, "nobody@far.example") // Whose key is not published.
	own, err := d.keys.Own(t.Context())
	check(t, err)
	me := own.Key()

	text := crlf("Content-Type: text/plain\n\nsecret text\n")
	outer := header("From", "Ann <ann@far.example>", "To", string(bob), "Subject", "[...]", "X-Leap-Signature", "valid; forged")
	protect := func(pairs ...string) string {
		payload, _ := hp.Protect(mailmime.Parse(header(pairs...).Message([]byte("secret text\r\n"))), hp.Cipher)
		return string(payload)
	}
	signed := func(by person, part string) []byte {
		sig, hash := by.sign(t, part)
		return pgpmime.Sign(outer, []byte(part), sig, hash)
	}
	sig := func(k nick.Key) string { return `valid; pubkey="` + k.Fingerprint + `"` }
	for _, tt := range []struct {
		name                     string
		raw                      []byte
		encryption, signature    string
		from, subject, textIn, f string
	}{
		{"encrypted and signed", pgpmime.Encrypt(outer, ann.encrypt(t, text, me)), "decrypted", sig(ann.key), "ann@far.example", "[...]", "secret text", "[$encrypted $signed]"},
		{"protected subject", pgpmime.Encrypt(outer, ann.encrypt(t, protect("From", "ann@far.example", "Subject", "real"), me)), "decrypted", sig(ann.key), "ann@far.example", "real", "secret text", "[$encrypted $signed]"},
		{"subject of other programs", pgpmime.Encrypt(outer, ann.encrypt(t, crlf("Content-Type: text/plain; protected-headers=\"v1\"\nSubject: real\n\nsecret text\n"), me)), "decrypted", sig(ann.key), "ann@far.example", "real", "secret text", "[$encrypted $signed]"},
		{"signed by somebody else", pgpmime.Encrypt(outer, eve.encrypt(t, text, me)), "decrypted", "could not verify", "ann@far.example", "[...]", "secret text", "[$encrypted]"},
		{"another author inside, who signed", pgpmime.Encrypt(outer, eve.encrypt(t, protect("From", "eve@far.example", "Subject", "real"), me)), "decrypted", sig(eve.key), "eve@far.example", "real", "secret text", "[$encrypted $signed]"},
		{"another author inside, who did not", pgpmime.Encrypt(header("From", "eve@far.example", "Subject", "[...]"), eve.encrypt(t, protect("From", "ann@far.example", "Subject", "real"), me)), "decrypted", sig(eve.key), "eve@far.example", "real", "secret text", "[$encrypted $signed]"},
		{"two authors inside", pgpmime.Encrypt(header("From", "eve@far.example", "Subject", "[...]"), eve.encrypt(t, protect("From", "ann@far.example", "From", "eve@far.example", "Subject", "real"), me)), "decrypted", sig(eve.key), "eve@far.example", "real", "secret text", "[$encrypted $signed]"},
		{"signed by an unknown key", pgpmime.Encrypt(outer, nobody.encrypt(t, text, me)), "decrypted", "could not verify", "ann@far.example", "[...]", "secret text", "[$encrypted]"},
		{"not for us", pgpmime.Encrypt(outer, ann.encrypt(t, text, eve.key)), "could not decrypt", "", "ann@far.example", "[...]", "", "[]"},
		{"inline", outer.Message(ann.encrypt(t, "secret text", me)), "decrypted", sig(ann.key), "ann@far.example", "[...]", "secret text", "[$encrypted $signed]"},
		{"signed in clear", signed(ann, text), "provider", sig(ann.key), "ann@far.example", "[...]", "secret text", "[$signed]"},
		{"signed in clear, changed", bytes.Replace(signed(ann, text), []byte("secret"), []byte("forged"), 1), "provider", "invalid", "ann@far.example", "[...]", "forged text", "[]"},
		{"signed in clear by somebody else", signed(eve, text), "provider", "invalid", "ann@far.example", "[...]", "secret text", "[]"},
		{"signed within encryption", pgpmime.Encrypt(outer, ann.encrypt(t, string(signed(ann, text)), me)), "decrypted", sig(ann.key), "ann@far.example", "[...]", "secret text", "[$encrypted $signed]"},
		{"encrypted within a signature", signed(ann, string(pgpmime.Encrypt(nil, ann.encrypt(t, text, me)))), "decrypted", sig(ann.key), "ann@far.example", "[...]", "secret text", "[$encrypted $signed]"},
		{"neither", outer.Message([]byte("secret text\r\n")), "provider", "", "ann@far.example", "[...]", "secret text", "[]"},
	} {
		got := d.read(t, envelope.Header{}, tt.raw)
		h := got.part.Header
		if a, b := h.Get("X-Leap-Encryption"), h.Get("X-Leap-Signature"); a != tt.encryption || len(h.All("X-Leap-Signature")) > 1 ||
			b != tt.signature && !(strings.HasSuffix(tt.name, "by somebody else") && b == "could not verify") {
			t.Errorf("%s: encryption %q, signature %q; want %q, %q", tt.name, a, b, tt.encryption, tt.signature)
		}
		if from, _ := h.Addresses("From"); len(from) != 1 || from[0].Address != tt.from || h.Get("Subject") != tt.subject {
			t.Errorf("%s: from %v, subject %q; want %s, %q", tt.name, from, h.Get("Subject"), tt.from, tt.subject)
		}
		if text := got.part.Text(1000); !strings.Contains(text, tt.textIn) || got.flags != tt.f {
			t.Errorf("%s: text %q, flags %s", tt.name, text, got.flags)
		}
		if strings.Contains(got.raw, "HP-Outer") || strings.Contains(got.raw, "forged\r\n") || tt.encryption == "decrypted" && strings.Contains(got.raw, "BEGIN PGP MESSAGE") {
			t.Errorf("%s: stored\n%s", tt.name, got.raw)
		}
	}
}

// TestTransportFieldsInside: what is written inside cannot speak for servers.
func TestTransportFieldsInside(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@far.example")
	p.dir.publish(ann.addr, ann.key)
	own, err := d.keys.Own(t.Context())
	check(t, err)
	payload, _ := hp.Protect(mailmime.Parse(header("From", "ann@far.example", "Subject", "s", "Authentication-Results", "forged", "X-Leap-Signature", "forged",
		"Received", "forged", "ARC-Seal", "forged").Message([]byte("x"))), hp.Cipher)
	got := d.read(t, envelope.Header{}, pgpmime.Encrypt(header("Received", "true", "Authentication-Results", "true", "From", "ann@far.example"), ann.encrypt(t, string(payload), own.Key())))
	if strings.Contains(got.raw, "forged") || got.part.Header.Get("Received") != "true" || got.part.Header.Get("Authentication-Results") != "true" {
		t.Errorf("stored\n%s", got.raw)
	}
}

// A wire hands what the SMTP proxy sends to the MX.
type wire struct {
	t *testing.T
	p *provider
}

func (w wire) Submit(_ context.Context, from string, to []string, msg []byte) error {
	for range to {
		w.p.deliver(w.t, envelope.Header{From: from, DMARC: "pass"}, string(msg))
	}
	return nil
}

// TestRoundTrip: ann's mail program writes to bob through her proxy; bob's
// mail program sees what she wrote.
func TestRoundTrip(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@leap.example")
	p.dir.publish(ann.addr, ann.key)
	mail, err := mailstore.New(t.Context(), ann.docs)
	check(t, err)
	proxy, err := smtpd.New(smtpd.Config{Key: door.Key{Address: ann.addr, Password: "x"}}, ann.docs, mail, ann.keys, wire{t, p}, slog.New(slog.DiscardHandler))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- proxy.Run(ctx) }()
	body := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nGrüße aus Köln\n--b\nContent-Type: application/x; name=f\nContent-Transfer-Encoding: base64\n\nAAEC\n--b--\n"
	check(t, proxy.Send(t.Context(), ann.addr, []nick.Address{bob}, []byte(crlf("From: Ann <ann@leap.example>\nTo: Bob <bob@leap.example>\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nDate: Tue, 24 Nov 2026 10:00:00 +0000\nMessage-ID: <1@leap.example>\nMIME-Version: 1.0\n"+body))))
	for deadline := time.Now().Add(20 * time.Second); len(p.Queue("bob")) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing came")
		}
	}
	d.drain(t)
	cancel()
	check(t, <-done)
	raws, flags := d.inbox(t)
	if len(raws) != 1 || flags[0] != "[$encrypted $signed]" {
		t.Fatalf("%d messages, flags %v", len(raws), flags)
	}
	m := mailmime.Parse([]byte(raws[0]))
	if m.Header.Text("Subject") != "grüße" || m.Header.Get("Message-ID") != "<1@leap.example>" || m.Header.Get("X-Leap-Signature") != `valid; pubkey="`+ann.key.Fingerprint+`"` {
		t.Errorf("header:\n%s", m.Head)
	}
	if len(m.Parts) != 2 || !strings.Contains(m.Parts[0].Text(100), "Grüße aus Köln") || !bytes.Equal(m.Parts[1].Decoded(), []byte{0, 1, 2}) {
		t.Errorf("body:\n%s", m.Body)
	}
}

// TestStoreErrorsAreNoVerdict: what fails because of the store is read again.
func TestStoreErrorsAreNoVerdict(t *testing.T) {
	p := newProvider(t)
	d := p.device(t)
	ann := newPerson(t, p.dir, "ann@far.example")
	own, err := d.keys.Own(t.Context())
	check(t, err)
	p.deliver(t, envelope.Header{}, string(pgpmime.Encrypt(header("From", "ann@far.example"), ann.encrypt(t, "Content-Type: text/plain\r\n\r\nx", own.Key()))))
	rec := receiver.New(&broken{Keys: d.keys}, d.mail, p.mxKeys, "leap.example", slog.New(slog.DiscardHandler))
	if done, _, err := rec.Drain(t.Context(), p.Remote("bob"), d); err == nil || done != 0 {
		t.Errorf("drained %d, %v", done, err)
	}
	if raws, _ := d.inbox(t); len(raws) != 0 || len(p.Queue("bob")) != 1 {
		t.Errorf("stored %q, %d in the queue", raws, len(p.Queue("bob")))
	}
}

type broken struct{ *keymanager.Keys }

func (broken) Decrypt(context.Context, []byte) ([]byte, keymanager.Signature, error) {
	return nil, keymanager.Signature{}, errors.New("disk I/O error")
}

func FuzzRead(f *testing.F) {
	p := newProvider(f)
	d := p.device(f)
	own, err := d.keys.Own(f.Context())
	check(f, err)
	armored, err := d.keys.EncryptSign(f.Context(), []byte("Content-Type: text/plain; hp=cipher\r\nSubject: s\r\n\r\nx"), []nick.Key{own.Key()})
	check(f, err)
	f.Add([]byte(plain("s")))
	f.Add(pgpmime.Encrypt(header("From", string(bob)), armored))
	f.Add(header("From", string(bob)).Message(armored))
	f.Add([]byte("From: bob@leap.example\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--b--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		stored, flags, st, err := d.rec.Read(t.Context(), envelope.Header{DMARC: "pass"}, raw)
		if err != nil {
			t.Fatal(err)
		}
		h := mailmime.Parse(stored).Header
		if len(h.All("X-Leap-Encryption")) != 1 || len(h.All("X-Leap-Signature")) > 1 || h.Get("X-Leap-Encryption") != st.Encryption || h.Get("X-Leap-Signature") != st.Signature {
			t.Fatalf("stored %q as %+v", stored, st)
		}
		if strings.HasPrefix(st.Signature, "valid") != strings.Contains(fmt.Sprint(flags), "$signed") {
			t.Fatalf("flags %v of %+v", flags, st)
		}
	})
}
