package receiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
	"leap.example/client/mailmime/hp"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
)

// A message as it is stored.
type message struct {
	raw   []byte
	flags []string
	state mailstore.State
}

// Values of X-Leap-Encryption.
const (
	decrypted    = "decrypted"
	byProvider   = "provider"
	notDecrypted = "could not decrypt"
)

// layers is how deep signatures and encryption of one message are opened.
const layers = 3

// read turns what the MX received into what the mail program sees. What
// cannot be read is stored as it came, and says so; an error is that of the
// store, and the message is to be read again.
func (r *Receiver) read(ctx context.Context, h envelope.Header, raw []byte) (message, error) {
	p := mailmime.Parse(raw)
	outside := author(p.Header)
	r.learn(ctx, h, p.Header, outside)
	o, err := r.unwrap(ctx, p, outside)
	if err != nil {
		return message{}, err
	}
	in := hp.Unprotect(o.payload)
	protected := in.Fields.Select(func(f mailmime.Field) bool { return !transport(f) })
	if inside := author(protected); inside != outside && len(protected.All("From")) > 0 {
		as, err := r.unwrap(ctx, p, inside)
		if err != nil {
			return message{}, err
		}
		if as.valid {
			o = as
		} else { // RFC 9788, 4.4: nobody vouches for the author named inside.
			protected = protected.Without("From", "Sender")
		}
	}
	if o.encryption != decrypted && !o.valid {
		protected = nil // Anybody could have written them.
	}
	if o.encryption == decrypted && o.valid {
		r.gossip(ctx, o.payload.Header, protected)
	}
	st := mailstore.State{Encryption: o.encryption, Signature: o.verdict()}
	shown := p
	if o.encryption == decrypted {
		shown = mailmime.Parse(in.Body)
	}
	m := message{assemble(replace(p.Header, protected), p, shown, st), keywords(o), st}
	if len(m.raw) > mailstore.MaxMessage && o.encryption == decrypted { // Compressed, it fitted.
		st = mailstore.State{Encryption: notDecrypted}
		m = message{assemble(p.Header, p, p, st), nil, st}
	}
	return m, nil
}

// An opened message.
type opened struct {
	payload    *mailmime.Part // What was decrypted or signed; else the message.
	encryption string
	sig        keymanager.Signature
	valid      bool // The signature is by the key known for the author.
}

// unwrap decrypts and verifies, holding signatures to the key of an author.
func (r *Receiver) unwrap(ctx context.Context, p *mailmime.Part, from nick.Address) (opened, error) {
	o := opened{payload: p, encryption: byProvider}
	var key string
	for range layers {
		cipher, encrypted := ciphertext(o.payload)
		signed, detached, isSigned := pgpmime.Signed(o.payload)
		switch {
		case encrypted && o.encryption == byProvider:
			key = r.known(ctx, from)
			plain, sig, err := r.keys.Decrypt(ctx, cipher)
			if errors.Is(err, keymanager.ErrDecrypt) {
				o.encryption = notDecrypted
				return o, nil
			}
			if err != nil {
				return o, fmt.Errorf("decrypting a message: %w", err)
			}
			if o.encryption = decrypted; sig.State != keymanager.SigNone {
				o.sig = sig
			}
			o.payload = mailmime.Parse(part(o.payload, plain))
		case isSigned && o.sig.State == keymanager.SigNone:
			key = r.known(ctx, from)
			o.sig = r.keys.VerifyDetached(ctx, signed.Raw, detached, from)
			o.payload = signed
		}
	}
	o.valid = o.sig.State == keymanager.SigValid && key != "" && o.sig.Fingerprint == key
	return o, nil
}

// ciphertext returns what is encrypted in a part, if it is.
func ciphertext(p *mailmime.Part) ([]byte, bool) {
	if data, ok := pgpmime.Encrypted(p); ok {
		return data, true
	}
	return pgpmime.Inline(p)
}

// part returns decrypted octets as a part. Of inline armor the text alone was
// encrypted.
func part(p *mailmime.Part, plain []byte) []byte {
	if p.Type != "text/plain" {
		return plain
	}
	return append([]byte("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"), plain...)
}

// transport reports whether a field is for those who carry a message, or ours:
// inside it means nothing.
func transport(f mailmime.Field) bool {
	names := []string{"Received", "Return-Path", "Delivered-To", "Authentication-Results", "Received-SPF", "DKIM-Signature", "Autocrypt-Gossip"}
	return ours(f) || strings.HasPrefix(strings.ToLower(f.Name), "arc-") || slices.ContainsFunc(names, f.Is)
}

func ours(f mailmime.Field) bool { return strings.HasPrefix(strings.ToLower(f.Name), "x-leap-") }

// replace returns outer with the protected fields in the place of those of the
// same names. Fields of the transport stay.
func replace(outer, protected mailmime.Header) mailmime.Header {
	var names []string
	for _, f := range protected {
		names = append(names, f.Name)
	}
	return append(outer.Without(names...), protected...)
}

// assemble writes the message that is stored: the part that is shown under the
// given fields. A message that was not opened keeps its structural fields
// where they are.
func assemble(fields mailmime.Header, p, shown *mailmime.Part, st mailstore.State) []byte {
	all := mailmime.Header{mailmime.NewField("X-Leap-Encryption", st.Encryption)}
	if st.Signature != "" {
		all = append(all, mailmime.NewField("X-Leap-Signature", st.Signature))
	}
	fields = fields.Select(func(f mailmime.Field) bool { return !ours(f) && f.Name != "" })
	if shown == p {
		return append(all, fields...).Message(p.Body)
	}
	all = append(all, fields.Select(func(f mailmime.Field) bool { return !f.Structural() })...)
	all = append(all, mailmime.NewField("MIME-Version", "1.0"))
	structural := shown.Header.Select(func(f mailmime.Field) bool { return f.Structural() && !f.Is("MIME-Version") })
	return append(all, structural...).Message(shown.Body)
}

// author returns the address in From, "" unless there is exactly one.
func author(h mailmime.Header) nick.Address {
	list, ok := h.Addresses("From")
	if !ok || len(list) != 1 {
		return ""
	}
	a, err := nick.ParseAddress(list[0].Address)
	if err != nil {
		return ""
	}
	return a
}

// verdict is the value of X-Leap-Signature, "" of a message without signature.
func (o opened) verdict() string {
	switch {
	case o.sig.State == keymanager.SigNone:
		return ""
	case o.valid:
		return `valid; pubkey="` + o.sig.Fingerprint + `"`
	case o.sig.State == keymanager.SigInvalid:
		return "invalid"
	}
	return "could not verify" // By nobody whom we know, or by somebody else than the author.
}

// keywords are the flags that say the same to mail programs.
func keywords(o opened) (list []string) {
	if o.encryption == decrypted {
		list = append(list, flags.Encrypted)
	}
	if o.valid {
		list = append(list, flags.Signed)
	}
	return list
}
