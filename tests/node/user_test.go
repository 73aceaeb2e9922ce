package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	"github.com/miekg/dns"

	"leap.example/client/control"
	"leap.example/image/compile"
)

// door is the address of this machine at which the node's ports are: leapc has
// no foot on the LAN.
const door = "127.77.0.11"

// A user is an ordinary leapc on this machine.
type user struct {
	dir, program string
	resolver     string
	mail         control.MailSettings
}

// newUser builds leapc, and brings names and ports of the node to this machine;
// nil if we may not.
func (l *lab) newUser(t *testing.T) *user {
	t.Helper()
	u := &user{dir: filepath.Join(l.dir, "user"), program: l.path("leapc")}
	check(t, os.Mkdir(u.dir, 0o700))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", u.program, "leap.example/client/cmd/leapc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, port := range []string{"443", "4430", "2323", "6425", "465"} {
		f, err := l.self.Forward("tcp", net.JoinHostPort(door, port), net.JoinHostPort(nodeIP, port))
		if errors.Is(err, syscall.EACCES) {
			t.Log("no user lives with it: we may not listen below port 1024")
			return nil
		}
		check(t, err)
		t.Cleanup(func() { check(t, f.Close()) })
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	u.resolver = packets.LocalAddr().String()
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(atDoor)}
	ended := make(chan error, 1)
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { check(t, errors.Join(server.Shutdown(), <-ended)) })
	return u
}

// atDoor answers that every name of the provider is at the door.
func atDoor(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	for _, question := range q.Question {
		if question.Qtype == dns.TypeA && dns.IsSubDomain(domain+".", question.Name) {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A:   netip.MustParseAddr(door).AsSlice(),
			})
		}
	}
	_ = w.WriteMsg(m) // Who asked asks again.
}

// leapc types a command and returns what it prints.
func (u *user) leapc(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
func (u *user) daemon(t *testing.T) {
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
	until(t, "the daemon answers", func() error {
		c := control.Dial(filepath.Join(u.dir, "leapc.sock"))
		defer c.Close()
		_, err := c.Status(t.Context())
		return err
	})
}

// until does something until it succeeds.
func until(t *testing.T, what string, do func() error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not in %v: %v", what, patience, err)
		}
	}
}

// live signs up, logs in and has a mail go to oneself by way of the node.
func (l *lab) live(t *testing.T) {
	t.Helper()
	u := l.newUser(t)
	if u == nil {
		return
	}
	u.daemon(t)
	i, _ := l.op.open(t)
	about, err := compile.Bootstrap(i, "")
	check(t, err)
	step(t, "  a user signs up", func() {
		u.leapc(t, "", "provider", "add", domain, "--ca-fingerprint", about.CACertFingerprint, "--resolver", u.resolver)
		u.leapc(t, "correct horse battery\n", "signup", "alice")
		check(t, json.Unmarshal(u.leapc(t, "", "mail"), &u.mail))
	})
	step(t, "  locks the account and logs in again", func() {
		u.leapc(t, "", "lock")
		u.leapc(t, "correct horse battery\n", "login")
		check(t, json.Unmarshal(u.leapc(t, "", "mail"), &u.mail))
	})
	const word = "canary in a whole node"
	step(t, "  sends a mail and reads it", func() {
		until(t, "the mail is taken", func() error { return u.send(word) })
		until(t, "the mail is there", func() error { return u.find(word) })
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
