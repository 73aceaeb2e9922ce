package receiver

import (
	"context"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/autocrypt"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
)

// maxGossip is how many keys of others are taken from one message.
const maxGossip = 20

// known returns the fingerprint of the key known for an author, "" if there is
// none. It may ask the account's provider, and nobody else: call it only for what is encrypted or signed.
func (r *Receiver) known(ctx context.Context, from nick.Address) string {
	if from == "" {
		return ""
	}
	key, _, err := r.keys.FindQuiet(ctx, from)
	if err != nil {
		return ""
	}
	return key.Fingerprint
}

// learn offers the key that a message brings for its author, if the author's
// domain vouches for the message.
func (r *Receiver) learn(ctx context.Context, h envelope.Header, fields mailmime.Header, from nick.Address) {
	if k, ok := autocrypt.Of(fields, from); ok && h.DMARC == "pass" {
		r.offer(ctx, k)
	}
}

// gossip offers the keys that the author sends along for other recipients
// (Autocrypt level 1, 2.5).
func (r *Receiver) gossip(ctx context.Context, payload, protected mailmime.Header) {
	named := map[nick.Address]bool{}
	for _, field := range []string{"To", "Cc"} {
		list, _ := protected.Addresses(field) // What cannot be read names nobody.
		for _, a := range list {
			if addr, err := nick.ParseAddress(a.Address); err == nil {
				named[addr] = true
			}
		}
	}
	for i, f := range payload.All(autocrypt.Gossip) {
		if k, err := autocrypt.Parse(f.Value()); err == nil && named[k.Address] && i < maxGossip {
			r.offer(ctx, k)
		}
	}
}

// offer hands a key to the key manager, which decides. Of the provider's own
// users the provider's key server tells the keys, and no message.
func (r *Receiver) offer(ctx context.Context, k autocrypt.Key) {
	if k.Address.Domain() == r.domain {
		return
	}
	key, err := nick.ParseKeyBinary(k.Data)
	if err == nil {
		err = r.keys.Learn(ctx, k.Address, key.Armored, nick.Seen)
	}
	if err != nil { // A bad key is none.
		r.log.DebugContext(ctx, "a key in a message was not learned", "err", err)
	}
}
