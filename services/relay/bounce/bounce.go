// Package bounce writes delivery status notifications, RFC 3464: the message
// by which a sender learns that theirs did not arrive, or not yet.
//
// A notification carries the header of the message that it is about and never
// the text. What a foreign server said is quoted in printable ASCII.
package bounce

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// A Recipient is one who did not get the message.
type Recipient struct {
	Address string
	Status  string // RFC 3463, "5.1.1".
	Code    int    // Of SMTP; 0: there was no reply.
	Text    string // Why, in the words of the foreign server or of ours.
	Remote  string // Name of the foreign server, if there was one.
}

// A Report is what is told.
type Report struct {
	ID         string // Local part of the notification's own Message-ID.
	Hostname   string // Of this server.
	Domain     string // Of postmaster, who is the author.
	To         string // The sender of the message.
	At         time.Time
	Arrived    time.Time // Of the message.
	Until      time.Time // Non-zero: it is only late, and attempts go on until then.
	Recipients []Recipient
	Header     []byte // Of the message, sound line by line.
}

// Message returns the notification. It is to be sent by the null sender.
func (r Report) Message() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	late := !r.Until.IsZero()
	action, subject := "failed", "Undelivered mail"
	if late {
		action, subject = "delayed", "Mail is late"
	}
	boundary := "=_" + r.ID
	line("From: Mail delivery <postmaster@%s>", r.Domain)
	line("To: <%s>", r.To)
	line("Subject: %s", subject)
	line("Date: %s", r.At.Format(time.RFC1123Z))
	line("Message-ID: <%s@%s>", r.ID, r.Hostname)
	line("Auto-Submitted: auto-replied") // RFC 3834, 5.
	line("MIME-Version: 1.0")
	line("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"", boundary)
	line("")
	line("--%s", boundary)
	line("Content-Type: text/plain; charset=us-ascii")
	line("")
	if late {
		line("Your message has not been delivered yet to:")
	} else {
		line("Your message was not delivered to:")
	}
	line("")
	for _, to := range r.Recipients {
		line("  %s", ascii(to.Address))
		line("    %s", to.reason())
	}
	line("")
	if late {
		line("Attempts go on until %s. There is nothing to do.", r.Until.Format(time.RFC1123Z))
	} else {
		line("No more attempts are made.")
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: message/delivery-status")
	line("")
	line("Reporting-MTA: dns; %s", r.Hostname)
	line("Arrival-Date: %s", r.Arrived.Format(time.RFC1123Z))
	for _, to := range r.Recipients {
		line("")
		line("Final-Recipient: %s", addressField(to.Address))
		line("Action: %s", action)
		line("Status: %s", to.Status)
		if to.Remote != "" {
			line("Remote-MTA: dns; %s", ascii(to.Remote))
		}
		if to.Code != 0 {
			line("Diagnostic-Code: smtp; %s", to.reason())
		}
		if late {
			line("Will-Retry-Until: %s", r.Until.Format(time.RFC1123Z))
		}
	}
	line("")
	line("--%s", boundary)
	line("Content-Type: text/rfc822-headers")
	line("Content-Transfer-Encoding: 8bit")
	line("")
	b.Write(r.Header)
	line("")
	line("--%s--", boundary)
	return b.Bytes()
}

// reason is what is said of a recipient, on one line.
func (to Recipient) reason() string {
	text := ascii(to.Text)
	if len(text) > 400 {
		text = text[:400] + "..."
	}
	if to.Code != 0 {
		return fmt.Sprintf("%d %s %s", to.Code, to.Status, text)
	}
	return text
}

// ascii returns s on one line in printable ASCII; other characters become "?".
func ascii(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)), " ")
}

// addressField returns an address with its type, RFC 3464, 2.3.2, and for one
// beyond ASCII RFC 6533, 3.
func addressField(address string) string {
	var b strings.Builder
	kind := "rfc822"
	for _, r := range address {
		switch {
		case r > '~':
			kind = "utf-8"
			fmt.Fprintf(&b, `\x{%X}`, r)
		case r >= ' ':
			b.WriteRune(r)
		}
	}
	return kind + "; " + b.String()
}
