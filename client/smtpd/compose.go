package smtpd

import (
	"crypto/rand"
	"net/mail"
	"slices"
	"strings"
	"time"

	"leap.example/client/mailmime"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// private is the fields that never leave the device: what programs and
// machines tell of themselves, what the next hops have to say, and what this
// package says itself.
var private = []string{
	"Bcc", "Resent-Bcc", "Received", "Return-Path", "Delivered-To", "User-Agent", "X-Mailer", "X-Newsreader",
	"X-MimeOLE", "X-Originating-IP", "X-Originating-Client", "X-Sender", "X-Priority-User-Agent", "X-Account-Key",
	"X-Identity-Key", "X-UIDL", "X-Enigmail-Version", "Status", "X-Status", "X-Keywords",
	"Autocrypt", "Autocrypt-Gossip", "Autocrypt-Draft-State", "DKIM-Signature", "Authentication-Results",
}

var privatePrefixes = []string{"x-leap-", "x-mozilla-", "x-evolution-", "x-kmail-", "x-claws-", "x-php-", "x-ms-exchange-", "arc-"}

func isPrivate(f mailmime.Field) bool {
	if slices.ContainsFunc(private, f.Is) {
		return true
	}
	for _, prefix := range privatePrefixes {
		if strings.HasPrefix(strings.ToLower(f.Name), prefix) {
			return true
		}
	}
	return f.Name == ""
}

// compose cleans a message. It returns the message to be protected, and as
// the user keeps it: with Bcc.
func (s *Server) compose(raw []byte, now time.Time) (message, kept *mailmime.Part, err error) {
	p := mailmime.Parse(raw)
	if err := s.checkSender(p.Header); err != nil {
		return nil, nil, err
	}
	h := p.Header.Select(func(f mailmime.Field) bool { return !isPrivate(f) })
	h = h.Without("Date", "Message-ID")
	date := now
	if t, err := mail.ParseDate(p.Header.Get("Date")); err == nil {
		date = t
	}
	// The zone tells where the user is.
	h = append(mailmime.Header{mailmime.NewField("Date", date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))}, h...)
	h = append(h, mailmime.NewField("Message-ID", s.messageID(p.Header.Get("Message-ID"))))
	bcc := p.Header.All("Bcc")
	return mailmime.Parse(h.Message(p.Body)), mailmime.Parse(append(h[:len(h):len(h)], bcc...).Message(p.Body)), nil
}

// checkSender holds the fields From and Sender to the account's addresses.
// Several From could be read one way here and another way at the recipient's.
func (s *Server) checkSender(h mailmime.Header) error {
	if len(h.All("From")) != 1 || len(h.All("Sender")) > 1 {
		return problem.Invalid.Errorf("the message must have one field From")
	}
	for _, name := range []string{"From", "Sender"} {
		list, ok := h.Addresses(name)
		if !ok || name == "From" && len(list) != 1 {
			return problem.Invalid.Errorf("the field %s must be one address", name)
		}
		for _, a := range list {
			if addr, err := nick.ParseAddress(a.Address); err != nil || !s.own(addr) {
				return problem.Permission.Errorf("you may write only from your own address")
			}
		}
	}
	return nil
}

// messageID keeps a Message-ID that names no more than the account's domain.
func (s *Server) messageID(value string) string {
	domain := s.cfg.Key.Address.Domain()
	inner, ok := strings.CutSuffix(value, "@"+domain+">")
	if ok && len(value) < 250 && strings.HasPrefix(inner, "<") && !strings.ContainsAny(inner[1:], " \t<>@\"") {
		return value
	}
	return "<" + strings.ToLower(rand.Text()) + "@" + domain + ">"
}
