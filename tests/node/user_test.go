package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"leap.example/client/control"
	"leap.example/image/compile"
	"leap.example/tests/lab"
)

// A user is an ordinary leapc on this machine.
type user struct {
	dir, program string
	mail         control.MailSettings
}

// leapc types a command and returns what it prints.
func (u *user) leapc(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, u.program, append([]string{"--home", u.dir, "--json"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = []string{"HOME=" + u.dir}, strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("leapc %v: %v: %s", args, err, &errs)
	}
	return out.Bytes()
}

// daemon starts the daemon, until the test ends.
func (u *user) daemon(t *testing.T, l *lab.Lab) {
	t.Helper()
	cmd := exec.Command(u.program, "--home", u.dir, "daemon")
	var errs bytes.Buffer
	cmd.Env, cmd.Stderr = []string{"HOME=" + u.dir}, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	check(t, cmd.Start())
	t.Cleanup(func() {
		check(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait() // It ends as it was asked to: 143.
		if t.Failed() {
			t.Logf("leapc says:\n%s", &errs)
		}
	})
	l.Until("the daemon answers", func(ctx context.Context) error {
		c := control.Dial(filepath.Join(u.dir, "leapc.sock"))
		defer c.Close()
		_, err := c.Status(ctx)
		return err
	})
}

// live signs up, logs in and has a mail go to oneself by way of the node.
func live(t *testing.T, l *lab.Lab) {
	t.Helper()
	resolver := l.Doors().Resolver()
	u := &user{dir: filepath.Join(l.Dir, "user"), program: l.Leapc()}
	check(t, os.Mkdir(u.dir, 0o700))
	u.daemon(t, l)
	i, _ := l.Op.Open()
	about, err := compile.Bootstrap(i, "")
	check(t, err)
	l.Step("  a user signs up", func() {
		u.leapc(t, "", "provider", "add", domain, "--ca-fingerprint", about.CACertFingerprint, "--resolver", resolver)
		u.leapc(t, "correct horse battery\n", "signup", "alice")
		check(t, json.Unmarshal(u.leapc(t, "", "mail"), &u.mail))
	})
	l.Step("  locks the account and logs in again", func() {
		u.leapc(t, "", "lock")
		u.leapc(t, "correct horse battery\n", "login")
		check(t, json.Unmarshal(u.leapc(t, "", "mail"), &u.mail))
	})
	const word = "canary in a whole node"
	l.Step("  sends a mail and reads it", func() {
		l.Until("the mail is taken", func(context.Context) error { return u.send(word) })
		l.Until("the mail is there", func(context.Context) error { return u.find(word) })
	})
}

// send sends a mail to the user's own address.
func (u *user) send(text string) error {
	c, err := smtp.Dial(net.JoinHostPort(u.mail.SMTP.Host, strconv.Itoa(u.mail.SMTP.Port)))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // After Quit there is nothing to close.
	msg := fmt.Sprintf("From: %[1]s\r\nTo: %[1]s\r\nSubject: myself\r\nDate: %s\r\n\r\n%s\r\n", u.mail.Address, time.Now().Format(time.RFC1123Z), text)
	if err := c.Auth(smtp.PlainAuth("", u.mail.Username, u.mail.Password, u.mail.SMTP.Host)); err != nil {
		return err
	}
	if err := errors.Join(c.Mail(u.mail.Address), c.Rcpt(u.mail.Address)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = w.Write([]byte(msg))
	return errors.Join(err, w.Close(), c.Quit())
}

// find looks for a mail with the text in the inbox.
func (u *user) find(text string) error {
	c, err := imapclient.DialInsecure(net.JoinHostPort(u.mail.IMAP.Host, strconv.Itoa(u.mail.IMAP.Port)), nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // Only read.
	if err := c.Login(u.mail.Username, u.mail.Password).Wait(); err != nil {
		return err
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return err
	}
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	got, err := c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	if err != nil {
		return err
	}
	for _, m := range got {
		for _, s := range m.BodySection {
			if bytes.Contains(s.Bytes, []byte(text)) {
				return nil
			}
		}
	}
	return fmt.Errorf("%d other messages", len(got))
}
