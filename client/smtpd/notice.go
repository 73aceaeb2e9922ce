package smtpd

import (
	"errors"
	"strings"
	"time"

	"leap.example/client/mailmime"
	"leap.example/client/mailstore"
	"leap.example/client/soledad"
)

// notify puts a message into INBOX that tells the user what was not delivered.
// It is in the transaction that gives the parcel up: told once, and surely.
func (s *Server) notify(tx *soledad.Tx, p parcel, failed []result) error {
	var b strings.Builder
	b.WriteString("This message could not be delivered:\r\n\r\n    " + line(p.Subject) + "\r\n\r\nIt did not reach:\r\n\r\n")
	for _, r := range failed {
		reason := "the relay could not be reached for five days"
		if e, ok := errors.AsType[*Reply](r.err); ok {
			reason = "the relay said: " + e.Error()
		}
		b.WriteString("    " + r.address + "\r\n        " + line(reason) + "\r\n")
	}
	b.WriteString("\r\nThe message itself is in the mailbox Sent. This notice was made by the mail\r\nclient on your own device.\r\n")
	addr := string(s.cfg.Key.Address)
	h := mailmime.Header{
		mailmime.NewField("From", "Mail client <"+addr+">"),
		mailmime.NewField("To", addr),
		mailmime.NewField("Subject", "Not delivered"),
		mailmime.NewField("Date", time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")),
		mailmime.NewField("Message-ID", s.messageID("")),
		mailmime.NewField("Auto-Submitted", "auto-generated"), // RFC 3834.
		mailmime.NewField("MIME-Version", "1.0"),
		mailmime.NewField("Content-Type", "text/plain; charset=utf-8"),
		mailmime.NewField("Content-Transfer-Encoding", "8bit"),
	}
	_, err := s.mail.Add(tx, mailstore.Message{Mailbox: mailstore.Inbox, Raw: h.Message([]byte(b.String()))})
	return err
}

// line makes one line of what came from elsewhere.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "..."
	}
	return s
}
