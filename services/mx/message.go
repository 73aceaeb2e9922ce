package mx

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/authres"

	"leap.example/services/mx/sender"
	"leap.example/services/protocol/smtpline"
)

// Limits of a message beside Config.MaxSize. Lines are allowed twice what RFC
// 5321, 4.5.3.1.6 demands, for they are found in the wild.
const (
	maxLine   = 2000
	maxHeader = 256 << 10
	maxHops   = 50
)

// A message is one that was taken in.
type message struct {
	raw    []byte
	header smtpline.Header
	body   []byte
	author string // The address in its From field.
}

// parse reads a message, which is sound line by line. It refuses one without
// exactly one author, and one that goes in a circle.
func parse(raw []byte) (*message, error) {
	m := &message{raw: raw}
	var err error
	if m.header, m.body, err = smtpline.ParseHeader(raw); err != nil {
		return nil, err
	}
	if m.author, err = m.header.Author(); err != nil {
		return nil, err
	}
	if m.header.Count("Received") > maxHops {
		return nil, errHops
	}
	return m, nil
}

// A trace is what the provider knows of how a message came.
type trace struct {
	id, hostname string
	ip           netip.Addr
	helo         string
	from         string // Of the envelope.
	tls          string // "" is clear text.
	at           time.Time
}

// stamped returns the message as it is sealed: without the fields that only
// the last server may write, with those of this one.
func (m *message) stamped(t trace, v sender.Verdict, names []string) []byte {
	var head strings.Builder
	fmt.Fprintf(&head, "Return-Path: <%s>\r\n", printable(t.from))
	fmt.Fprintf(&head, "Authentication-Results: %s\r\n", fold(authres.Format(t.hostname, v.Results)))
	with, how := "ESMTP", ""
	if t.tls != "" {
		with, how = "ESMTPS", " ("+t.tls+")"
	}
	fmt.Fprintf(&head, "Received: from %s ([%s])\r\n\tby %s with %s%s\r\n\tid %s; %s\r\n",
		t.helo, t.ip, t.hostname, with, how, t.id, t.at.Format(time.RFC1123Z))

	out := make([]byte, 0, head.Len()+len(m.raw)+4)
	out = append(out, head.String()...)
	out = m.header.AppendWithout(out, func(f smtpline.Field) bool { return forged(f, names) })
	if !strings.HasSuffix(string(out[len(out)-2:]), "\r\n") {
		out = append(out, "\r\n"...)
	}
	return append(append(out, "\r\n"...), m.body...)
}

// forged reports whether f can only be written by the provider's own servers
// and clients: X-Leap- fields of a client's verdict (leap-protocols.md 8.2),
// Authentication-Results in our name (RFC 8601, 5), Return-Path (RFC 5321, 4.4).
func forged(f smtpline.Field, names []string) bool {
	name := strings.ToLower(f.Name)
	if name != "authentication-results" {
		return name == "return-path" || strings.HasPrefix(name, "x-leap-")
	}
	who, _, _ := strings.Cut(strings.ToLower(f.Value()), ";")
	for _, n := range names {
		if strings.Contains(who, strings.ToLower(n)) {
			return true
		}
	}
	return false
}

// fold puts each result of an Authentication-Results field on its own line.
func fold(results string) string { return strings.ReplaceAll(results, "; ", ";\r\n\t") }

// printable returns s without what does not belong into a header.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`()<>;"\`, r) {
			return -1
		}
		return r
	}, s)
}
