// Package play is the story of two people on a provider, whatever that runs on:
// the client as a user types it, with a daemon for each person and device, and
// mail programs that know nothing of LEAP. It speaks to the provider only as mail
// programs, the command line and HTTP clients would. At the end it looks for the
// words of the mails, subjects and passwords in everything that the provider
// holds.
package play

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Stage is the provider as people see it, and the doors to what it holds.
type Stage struct {
	Domain      string
	Bootstrap   string // What "leapc provider add" takes.
	Fingerprint string // Of its CA.
	Resolver    string // host:port, DNS. It knows where the provider is.
	Invite      string // Code for more than one sign-up.

	Web, Nickserver, WKD string       // Base URLs.
	HTTP                 *http.Client // For them: it trusts the provider's CA alone.
	MX                   string       // host:port.

	Database Database
	Tunnel   Tunnel // For Surf.
	// Files looks for words in what else the provider holds: files, logs.
	Files func(*Finder) error
}

// A Story is its people, and what they said.
type Story struct {
	Ctx   context.Context
	Dir   string // Of homes and logs.
	Leapc string // Program.
	At    Stage  // Has to be known before the first step.
	// Vendor has to be known before the first step of Update.
	Vendor Vendor
	// Foreign has swaks and mbsync be the mail programs.
	Foreign bool
	// Slow is by what deadlines are multiplied. 0: 1.
	Slow int

	alice, bob, phone *person // phone is bob's second device.
	words             words
	proxy             string // Of alice's VPN.
	update            changed
}

// A Step is one sentence of the story.
type Step struct {
	What string
	Do   func() error
}

// words are the canaries: each is found nowhere at the provider, but ticket.
type words struct {
	subject, body, attachment, stranger string
	alicePassword, aliceNewPassword     string
	bobPassword                         string
	ticket                              string
}

// Word returns a word that nobody else uses, of letters and digits, so that
// encodings of text leave it alone.
func Word(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) // Never fails.
	return prefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

func newWords() words {
	return words{
		subject: Word("SUBJ"), body: Word("BODY"), attachment: Word("ATTACH"), stranger: Word("STRANGER"),
		alicePassword: Word("pwA"), aliceNewPassword: Word("pwN"), bobPassword: Word("pwB"), ticket: Word("TICKET"),
	}
}

// secrets returns the words that the provider must not have.
func (w words) secrets() []string {
	return []string{w.subject, w.body, w.attachment, w.stranger, w.alicePassword, w.aliceNewPassword, w.bobPassword}
}

// Secrets returns the words that the provider must not have; none before the
// story has begun.
func (s *Story) Secrets() []string {
	if s.words == (words{}) {
		return nil
	}
	return s.words.secrets()
}

// program is what people write and read mail with.
func (s *Story) program() mailProgram {
	if s.Foreign {
		return debian{}
	}
	return gophers{}
}

// get fetches a page of the provider.
func (s *Story) get(url string) ([]byte, error) {
	resp, err := s.At.HTTP.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", url, resp.Status, body)
	}
	return body, err
}

// Until polls f every 50 ms until it returns nil, the story ends, or the deadline
// passes; then its last error is the error.
func (s *Story) Until(what string, patience time.Duration, f func() error) error {
	patience *= time.Duration(max(1, s.Slow))
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || s.Ctx.Err() != nil {
			return fmt.Errorf("%s: not after %v: %w", what, patience, err)
		}
		time.Sleep(50 * time.Millisecond) // Between polls only.
	}
}

// people are those who have a device.
func (s *Story) people() (list []*person) {
	for _, p := range []*person{s.alice, s.bob, s.phone} {
		if p != nil && p.daemon != nil {
			list = append(list, p)
		}
	}
	return list
}

// End stops all clients.
func (s *Story) End() {
	for _, p := range s.people() {
		p.daemon.Stop()
	}
}

// Tails prints the ends of the clients' logs: the place to look after a failure.
func (s *Story) Tails(out io.Writer) {
	for _, p := range s.people() {
		p.daemon.Print(out)
	}
}

// Welcome says how people get at their mail.
func (s *Story) Welcome(out io.Writer) {
	for _, p := range s.people() {
		if p.mail.Address == "" {
			continue
		}
		fmt.Fprintf(out, "  %-8s %s   password %s\n           IMAP %s:%d  SMTP %s:%d  user %s  password %s\n           %s --home %s status\n\n",
			p.name, p.mail.Address, p.password, p.mail.IMAP.Host, p.mail.IMAP.Port, p.mail.SMTP.Host, p.mail.SMTP.Port,
			p.mail.Username, p.mail.Password, p.leapcProgram(), p.home)
	}
	fmt.Fprintf(out, "  a stranger writes: swaks --server %s --from you@example.net --to %s\n", s.At.MX, s.alice.mail.Address)
}
