package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/client/account"
	"leap.example/client/control"
	"leap.example/tests/e2e/process"
)

// A device is the client of one user, in this process.
type device struct{ *account.Account }

// newDevice makes a device that knows the provider, until the test ends.
func newDevice(t *testing.T, p *process.Provider) *device {
	t.Helper()
	d := &device{account.New(account.Config{Dir: filepath.Join(t.TempDir(), "home")}, quiet)}
	t.Cleanup(serve(t, "device", d.Run))
	_, err := d.AddProvider(t.Context(), control.ProviderRequest{
		Domain: p.At.Bootstrap, Fingerprint: p.At.Fingerprint, Resolver: p.At.Resolver,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write sends a mail with the mail program of d.
func (d *device) write(ctx context.Context, to string, c canaries) error {
	m, err := d.Mail(ctx)
	if err != nil {
		return err
	}
	s, err := smtp.Dial(net.JoinHostPort(m.SMTP.Host, strconv.Itoa(m.SMTP.Port)))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Auth(sasl.NewPlainClient("", m.Username, m.Password)); err != nil {
		return err
	}
	return s.SendMail(m.Address, []string{to}, strings.NewReader(text(m.Address, to, c)))
}

func text(from, to string, c canaries) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n\r\n%s\r\n",
		from, to, c.subject, time.Now().Format(time.RFC1123Z), rand.Text(), c.bob+".example", c.body)
}

// receives waits until n mails are in the INBOX of d.
func (d *device) receives(t *testing.T, n uint32) {
	t.Helper()
	m, err := d.Mail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the mails have come", time.Minute, func() error {
		i, err := imapclient.DialInsecure(net.JoinHostPort(m.IMAP.Host, strconv.Itoa(m.IMAP.Port)), nil)
		if err != nil {
			return err
		}
		defer i.Close()
		if err := i.Login(m.Username, m.Password).Wait(); err != nil {
			return err
		}
		box, err := i.Select("INBOX", nil).Wait()
		if err == nil && box.NumMessages < n {
			err = fmt.Errorf("%d of %d are there", box.NumMessages, n)
		}
		return err
	})
}
