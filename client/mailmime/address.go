package mailmime

import (
	"mime"
	"net/mail"

	"github.com/emersion/go-message/charset"
)

// Addresses returns the mailboxes of all fields of that name (RFC 5322, 3.4).
// A field that cannot be read gives none; ok is false then.
func (h Header) Addresses(name string) (list []*mail.Address, ok bool) {
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: charset.Reader}}
	ok = true
	for _, f := range h.All(name) {
		l, err := p.ParseList(f.Value())
		if err != nil {
			ok = false
			continue
		}
		list = append(list, l...)
	}
	return list, ok
}
