package smtpd

import (
	"context"
	"fmt"
	"time"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/autocrypt"
	"leap.example/client/mailmime/hp"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/mailstore"
	"leap.example/client/soledad"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
)

// Send protects a message and puts it into the outbox, durably. Errors carry
// the kinds that answer expects; then nothing was sent to anybody.
func (s *Server) Send(ctx context.Context, from nick.Address, to []nick.Address, raw []byte) error {
	message, kept, err := s.compose(raw, time.Now())
	if err != nil {
		return err
	}
	subject := message.Header.Text("Subject")
	var parcels []parcel
	if envelope.IsEncrypted(raw) {
		var all []string
		for _, a := range to {
			all = append(all, string(a))
		}
		// The program has a key of its own, and says so.
		h := append(message.Header, mailmime.Parse(raw).Header.All(autocrypt.Name)...)
		parcels = []parcel{{From: string(from), To: all, Subject: subject, raw: h.Message(message.Body)}}
	} else {
		all, err := s.find(ctx, message, to)
		if err == nil {
			err = s.refuseClear(all)
		}
		if err != nil {
			return err
		}
		for _, g := range groups(all) {
			sealed, err := s.seal(ctx, message, g)
			if err != nil {
				return fmt.Errorf("protecting a message: %w", err)
			}
			parcels = append(parcels, parcel{From: string(from), To: g.addresses(), Subject: subject, raw: sealed})
		}
	}
	err = s.docs.Update(ctx, func(tx *soledad.Tx) error {
		for _, p := range parcels {
			if err := p.put(tx); err != nil {
				return err
			}
		}
		_, err := s.mail.Add(tx, mailstore.Message{Mailbox: mailstore.Sent, Raw: kept.Raw, Flags: []string{`\Seen`}})
		return err
	})
	if err != nil {
		return fmt.Errorf("storing a message: %w", err)
	}
	s.signal()
	return nil
}

// seal makes the copy of a message for a group.
func (s *Server) seal(ctx context.Context, message *mailmime.Part, g group) ([]byte, error) {
	own, err := s.keys.Own(ctx)
	if err != nil {
		return nil, err
	}
	key := autocrypt.Key{Address: author(message.Header), Mutual: true, Data: own.Key().Binary}
	h := message.Header
	if f, err := key.Field(autocrypt.Name); err == nil { // One that is too large is left out.
		h = append(h[:len(h):len(h)], f)
	}
	if !g.keyed {
		return s.sign(ctx, mailmime.Parse(h.Message(message.Body)))
	}
	payload, outer := hp.Protect(mailmime.Parse(h.Message(message.Body)), hp.Cipher)
	var keys []nick.Key
	for _, r := range g.recipients {
		keys = append(keys, r.key)
	}
	armored, err := s.keys.EncryptSign(ctx, append(gossip(g).Bytes(), payload...), keys)
	if err != nil {
		return nil, err
	}
	return pgpmime.Encrypt(outer, armored), nil
}

// author returns the address in From, which checkSender has seen: Autocrypt
// wants the field to name it, be it an alias.
func author(h mailmime.Header) nick.Address {
	list, _ := h.Addresses("From")
	if len(list) != 1 {
		return ""
	}
	a, err := nick.ParseAddress(list[0].Address)
	if err != nil {
		return ""
	}
	return a
}

func (s *Server) sign(ctx context.Context, message *mailmime.Part) ([]byte, error) {
	payload, outer := hp.Protect(mailmime.Parse(message.SevenBit()), hp.Clear)
	armored, hash, err := s.keys.Sign(ctx, payload)
	if err != nil {
		return nil, err
	}
	return pgpmime.Sign(outer, payload, armored, hash), nil
}

// gossip returns the keys of named recipients for each other, so that they can
// answer to all (Autocrypt level 1, 2.5).
func gossip(g group) mailmime.Header {
	if len(g.recipients) < 2 {
		return nil
	}
	var h mailmime.Header
	for _, r := range g.recipients {
		if f, err := (autocrypt.Key{Address: r.address, Data: r.key.Binary}).Field(autocrypt.Gossip); err == nil {
			h = append(h, f)
		}
	}
	return h
}
