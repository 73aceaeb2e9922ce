package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"leap.example/appliance/dev"
)

// A play is the stage: the provider, the people, and what they said.
type play struct {
	ctx context.Context
	out io.Writer
	dir string
	opt options

	provider *process
	kills    int // Of database nodes.
	at       dev.Endpoints
	web      *http.Client // Trusts the provider's CA alone, resolves by its DNS.

	alice, bob, phone *person // phone is bob's second device.
	program           mailProgram
	words             words
}

// words are the canaries: each is found nowhere at the provider, but ticket.
type words struct {
	subject, body, attachment, stranger string
	alicePassword, aliceNewPassword     string
	bobPassword                         string
	ticket                              string
}

// word returns a word that nobody else uses, of letters and digits, so that
// encodings of text leave it alone.
func word(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) // Never fails.
	return prefix + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

func newWords() words {
	return words{
		subject: word("SUBJ"), body: word("BODY"), attachment: word("ATTACH"), stranger: word("STRANGER"),
		alicePassword: word("pwA"), aliceNewPassword: word("pwN"), bobPassword: word("pwB"), ticket: word("TICKET"),
	}
}

// secrets returns the words that the provider must not have.
func (w words) secrets() []string {
	return []string{w.subject, w.body, w.attachment, w.stranger, w.alicePassword, w.aliceNewPassword, w.bobPassword}
}

// startProvider starts "leapd dev" and waits until every service is healthy.
func (s *play) startProvider() error {
	home := filepath.Join(s.dir, "dev")
	base := s.opt.base
	if base == 0 {
		var err error
		if base, err = freeBase(); err != nil {
			return err
		}
	}
	var err error
	s.provider, err = start(s.dir, "leapd", nil, s.bin("leapd"), "dev", "--dir", home, "--base-port", fmt.Sprint(base), "--nodes", fmt.Sprint(s.opt.nodes))
	if err != nil {
		return err
	}
	err = s.until("the provider is up", time.Minute, func() error {
		select {
		case <-s.provider.done:
			return fmt.Errorf("leapd ended: %v", s.provider.err)
		default:
		}
		if s.at, err = dev.ReadEndpoints(home); err != nil {
			return err
		}
		resp, err := http.Get("http://" + s.at.Health + "/")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("health: %s", body)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.web, err = webClient(s.at)
	return err
}

// freeBase returns a first port whose range is free as far as a look tells.
func freeBase() (int, error) {
	for range 50 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		base := ln.Addr().(*net.TCPAddr).Port
		ln.Close()
		if base+100 > 65535 {
			continue
		}
		free := true
		for port := base; port < base+100 && free; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no range of 100 free TCP ports on loopback")
}

// webClient returns a client that believes the provider's CA and nobody else,
// and asks the provider's DNS server for every name.
func webClient(at dev.Endpoints) (*http.Client, error) {
	pem, err := os.ReadFile(at.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", at.CAFile)
	}
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.Resolver)
	}}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: resolver}
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}},
	}, nil
}

// get fetches a page of the provider.
func (s *play) get(url string) ([]byte, error) {
	resp, err := s.web.Get(url)
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

func (s *play) bin(name string) string { return filepath.Join(s.dir, "bin", name) }

// build builds the two programs into the story's directory, with the settings
// of "make", so that the build cache serves both.
func (s *play) build() error {
	if err := os.MkdirAll(filepath.Join(s.dir, "bin"), 0o700); err != nil {
		return err
	}
	env := append(os.Environ(), "CGO_ENABLED=0")
	_, err := s.tool("", env, "go", "build", "-o", filepath.Join(s.dir, "bin")+"/",
		"leap.example/appliance/cmd/leapd", "leap.example/client/cmd/leapc")
	return err
}

// processes returns everything that runs.
func (s *play) processes() []*process {
	var all []*process
	for _, p := range []*person{s.alice, s.bob, s.phone} {
		if p != nil && p.daemon != nil {
			all = append(all, p.daemon)
		}
	}
	if s.provider != nil {
		all = append(all, s.provider)
	}
	return all
}

// end stops everything, the clients first.
func (s *play) end() {
	for _, p := range s.processes() {
		p.stop()
	}
}

// tails prints the ends of the logs: the place to look after a failure.
func (s *play) tails() {
	for _, p := range s.processes() {
		fmt.Fprintf(s.out, "--- %s: last lines\n%s\n", p.name, p.tail(15))
	}
}

// welcome says how to take part.
func (s *play) welcome() {
	fmt.Fprintf(s.out, "\nThe provider stays up until you interrupt it (Ctrl-C).\n\n  web      %s   (its CA: %s)\n  invite   %s\n\n", s.at.Loopback, s.at.CAFile, s.at.Invite)
	for _, p := range []*person{s.alice, s.bob, s.phone} {
		if p == nil || p.mail.Address == "" {
			continue
		}
		fmt.Fprintf(s.out, "  %-8s %s   password %s\n           IMAP %s:%d  SMTP %s:%d  user %s  password %s\n           %s --home %s status\n\n",
			p.name, p.mail.Address, p.password, p.mail.IMAP.Host, p.mail.IMAP.Port, p.mail.SMTP.Host, p.mail.SMTP.Port,
			p.mail.Username, p.mail.Password, s.bin("leapc"), p.home)
	}
	fmt.Fprintf(s.out, "  a stranger writes: swaks --server %s --from you@example.net --to %s\n", s.at.MX, strings.Join([]string{s.alice.mail.Address}, ","))
}
