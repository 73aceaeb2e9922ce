package play

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	_ "github.com/emersion/go-message/charset"
	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A mailProgram is what people write and read mail with. It knows IMAP and
// SMTP and nothing else.
type mailProgram interface {
	send(p *person, to string, msg []byte) error
	fetch(p *person, mailbox string) ([]message, error)
	// archive flags the message \Flagged and moves it from INBOX to Archive.
	archive(p *person, m message) error
}

// A message as a mail program sees it.
type message struct {
	uid   uint32 // Zero if the program has no use for it.
	file  string // Of a program that keeps files.
	flags []string
	raw   []byte
}

// compose writes a mail with a subject beyond ASCII and an attachment.
func compose(from, to, subject, body, attachment string) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("From: %s", from)
	line("To: %s", to)
	line("Subject: %s", mime.QEncoding.Encode("utf-8", subject))
	line("Date: %s", time.Now().Format(time.RFC1123Z))
	line("MIME-Version: 1.0")
	line(`Content-Type: multipart/mixed; boundary="parts"`)
	line("")
	line("--parts")
	line("Content-Type: text/plain; charset=utf-8")
	line("Content-Transfer-Encoding: quoted-printable")
	line("")
	q := quotedprintable.NewWriter(&b)
	io.WriteString(q, body) // Writes to memory.
	q.Close()
	line("")
	line("--parts")
	line("Content-Type: application/octet-stream")
	line(`Content-Disposition: attachment; filename="plan.bin"`)
	line("Content-Transfer-Encoding: base64")
	line("")
	enc := base64.StdEncoding.EncodeToString([]byte(attachment))
	for chunk := range slices.Chunk([]byte(enc), 76) {
		line("%s", chunk)
	}
	line("--parts--")
	return b.Bytes()
}

// parts is what a mail program shows of a message.
type parts struct {
	subject, text, attachment string
	header                    mail.Header
}

// open parses a message the way a mail program does.
func (m message) open() (parts, error) {
	var p parts
	head, err := mail.ReadMessage(bytes.NewReader(m.raw))
	if err != nil {
		return p, err
	}
	p.header = head.Header
	r, err := gomail.CreateReader(bytes.NewReader(m.raw))
	if err != nil {
		return p, err
	}
	if p.subject, err = r.Header.Subject(); err != nil {
		return p, err
	}
	for {
		part, err := r.NextPart()
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return p, err
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return p, err
		}
		if _, ok := part.Header.(*gomail.AttachmentHeader); ok {
			p.attachment += string(body)
		} else {
			p.text += string(body)
		}
	}
}

// gophers is the mail program made of Go's own SMTP and IMAP libraries.
type gophers struct{}

func (gophers) send(p *person, to string, msg []byte) error {
	addr := net.JoinHostPort(p.mail.SMTP.Host, fmt.Sprint(p.mail.SMTP.Port))
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", p.mail.Username, p.mail.Password)); err != nil {
		return err
	}
	if err := c.SendMail(p.mail.Address, []string{to}, bytes.NewReader(msg)); err != nil {
		return err
	}
	return c.Quit()
}

// imap opens a mailbox.
func (gophers) imap(p *person, mailbox string) (*imapclient.Client, error) {
	c, err := imapclient.DialInsecure(net.JoinHostPort(p.mail.IMAP.Host, fmt.Sprint(p.mail.IMAP.Port)), nil)
	if err != nil {
		return nil, err
	}
	if err := c.Login(p.mail.Username, p.mail.Password).Wait(); err != nil {
		c.Close()
		return nil, err
	}
	if _, err := c.Select(mailbox, nil).Wait(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (g gophers) fetch(p *person, mailbox string) ([]message, error) {
	c, err := g.imap(p, mailbox)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	got, err := c.Fetch(all, &imap.FetchOptions{
		Flags: true, UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil {
		return nil, err
	}
	var list []message
	for _, m := range got {
		one := message{uid: uint32(m.UID)}
		for _, f := range m.Flags {
			one.flags = append(one.flags, string(f))
		}
		for _, s := range m.BodySection {
			one.raw = s.Bytes
		}
		list = append(list, one)
	}
	return list, c.Logout().Wait()
}

func (g gophers) archive(p *person, m message) error {
	c, err := g.imap(p, "INBOX")
	if err != nil {
		return err
	}
	defer c.Close()
	uid := imap.UIDSetNum(imap.UID(m.uid))
	add := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}
	if err := c.Store(uid, add, nil).Close(); err != nil {
		return err
	}
	if _, err := c.Move(uid, "Archive").Wait(); err != nil {
		return err
	}
	return c.Logout().Wait()
}

// stranger sends a cleartext mail from outside to the provider's MX.
func (s *Story) stranger(to, subject, body string) error {
	msg := strings.Join([]string{
		"From: Stranger <stranger@outside.example>", "To: " + to, "Subject: " + subject,
		"Date: " + time.Now().Format(time.RFC1123Z), "Message-ID: <" + Word("m") + "@outside.example>", "", body, "",
	}, "\r\n")
	if s.Foreign {
		return swaks(s, s.At.MX, "stranger@outside.example", to, msg, "--ehlo", "outside.example", "--tls")
	}
	c, err := smtp.Dial(s.At.MX)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("outside.example"); err != nil {
		return err
	}
	if err := c.SendMail("stranger@outside.example", []string{to}, strings.NewReader(msg)); err != nil {
		return err
	}
	return c.Quit()
}
