// Package autocrypt reads and writes the header fields of Autocrypt level 1
// (https://autocrypt.org/level1.html, 2.1 and 2.5): a public key that travels
// with a message.
//
// A key that was found so is only a hint: whoever could write the message
// could write the field. The package says what the field contains; whether it
// is believed is decided by the receiver and by client/keymanager.
package autocrypt

import (
	"encoding/base64"
	"strings"

	"leap.example/client/mailmime"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// Names of the fields.
const (
	Name   = "Autocrypt"
	Gossip = "Autocrypt-Gossip" // Keys of other recipients, only inside encryption.
)

// maxSize is the longest field that is read or written, bytes. Autocrypt level
// 1 asks senders to stay below 10 KiB; larger keys belong on a key server.
const maxSize = 16 << 10

// A Key is the content of a field.
type Key struct {
	Address nick.Address
	Mutual  bool   // prefer-encrypt=mutual.
	Data    []byte // Binary transferable public key, not looked at.
}

// Field returns k as a field of that name. A key that is too large gives a
// problem.Limit error: it must be left out.
func (k Key) Field(name string) (mailmime.Field, error) {
	if base64.StdEncoding.EncodedLen(len(k.Data)) > maxSize*9/10 {
		return mailmime.Field{}, problem.Limit.Errorf("a key of %d bytes does not fit into a header field", len(k.Data))
	}
	var b strings.Builder
	b.WriteString("addr=" + string(k.Address) + ";")
	if k.Mutual {
		b.WriteString(" prefer-encrypt=mutual;")
	}
	b.WriteString(" keydata=")
	for text := base64.StdEncoding.EncodeToString(k.Data); text != ""; {
		n := min(len(text), 76)
		b.WriteString("\r\n " + text[:n])
		text = text[n:]
	}
	return mailmime.NewField(name, b.String()), nil
}

// Parse reads the value of a field. Errors are of kind problem.Invalid: an
// invalid field is treated as absent.
func Parse(value string) (Key, error) {
	if len(value) > maxSize {
		return Key{}, problem.Invalid.Errorf("autocrypt field of %d bytes", len(value))
	}
	var k Key
	seen := map[string]bool{}
	for attr := range strings.SplitSeq(value, ";") {
		name, val, ok := strings.Cut(attr, "=")
		name, val = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(val)
		if name == "" && !ok && seen["keydata"] {
			continue // A semicolon at the end.
		}
		if seen[name] || !ok {
			return Key{}, problem.Invalid.Errorf("malformed autocrypt field")
		}
		seen[name] = true
		if err := k.set(name, val); err != nil {
			return Key{}, err
		}
	}
	if k.Address == "" || len(k.Data) == 0 {
		return Key{}, problem.Invalid.Errorf("autocrypt field without addr or keydata")
	}
	return k, nil
}

func (k *Key) set(name, val string) (err error) {
	switch {
	case name == "addr":
		k.Address, err = nick.ParseAddress(val)
		return err
	case name == "prefer-encrypt":
		k.Mutual = val == "mutual" // Other values count as none.
	case name == "keydata":
		val = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, val)
		if k.Data, err = base64.StdEncoding.DecodeString(val); err != nil {
			return problem.Invalid.Errorf("autocrypt field with malformed keydata")
		}
	case strings.HasPrefix(name, "_"): // Not critical.
	default:
		return problem.Invalid.Errorf("autocrypt field with an unknown critical attribute")
	}
	return nil
}

// Of returns the key that a message brings for an address: that of its only
// valid Autocrypt field, if the field speaks of that address. Two valid fields
// count as none (level 1, 2.3).
func Of(h mailmime.Header, from nick.Address) (Key, bool) {
	var found []Key
	for _, f := range h.All(Name) {
		if k, err := Parse(f.Value()); err == nil {
			found = append(found, k)
		}
	}
	if len(found) != 1 || found[0].Address != from {
		return Key{}, false
	}
	return found[0], true
}
