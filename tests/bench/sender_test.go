package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"
)

var randomness = rand.Reader

// A letter is a message of 10 KB that can be sent many times, each time with
// another Message-ID, which its signature does not cover.
type letter struct {
	signed []byte
	zone   []string // What the name server says of its author.
}

func newLetter(b *testing.B) letter {
	b.Helper()
	public, private, err := ed25519.GenerateKey(randomness)
	if err != nil {
		b.Fatal(err)
	}
	raw := "From: Carol <carol@example.net>\r\nTo: user@example.org\r\nSubject: lunch\r\nDate: " +
		time.Now().Format(time.RFC1123Z) + "\r\n\r\n"
	for len(raw) < 10<<10 {
		raw += rand.Text() + " " + rand.Text() + "\r\n"
	}
	var out bytes.Buffer
	err = dkim.Sign(&out, strings.NewReader(raw), &dkim.SignOptions{
		Domain: "example.net", Selector: "s1", Signer: private, HeaderKeys: []string{"From", "Subject"},
	})
	if err != nil {
		b.Fatal(err)
	}
	return letter{out.Bytes(), []string{
		`example.net. TXT "v=spf1 ip4:127.0.0.1 -all"`,
		`_dmarc.example.net. TXT "v=DMARC1; p=reject"`,
		`s1._domainkey.example.net. TXT "v=DKIM1; k=ed25519; p=` + base64.StdEncoding.EncodeToString(public) + `"`,
	}}
}

// text returns the message with a new Message-ID, and the dot at its end.
func (l letter) text() []byte {
	out := fmt.Appendf(make([]byte, 0, len(l.signed)+64), "Message-ID: <%s@example.net>\r\n", rand.Text())
	return append(append(out, l.signed...), ".\r\n"...)
}

// newKey returns a user's armoured public key, made an hour ago.
func newKey(b *testing.B, address string) string {
	b.Helper()
	e, err := openpgp.NewEntity("", "", address, &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultCipher: packet.CipherAES256,
		AEADConfig: &packet.AEADConfig{DefaultMode: packet.AEADModeGCM},
		Time:       func() time.Time { return time.Now().Add(-time.Hour) },
	})
	if err != nil {
		b.Fatal(err)
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err := errors.Join(err, e.Serialize(w), w.Close()); err != nil {
		b.Fatal(err)
	}
	return text.String()
}

// A sender is one connection to a mail server, with as little work as can be.
type sender struct {
	net.Conn
	r *bufio.Reader
}

func dialSender(addr string) (*sender, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sender{nc, bufio.NewReader(nc)}
	if err := s.expect("220"); err != nil {
		return nil, err
	}
	return s, s.say("EHLO peer.example.net\r\n", "250")
}

func (s *sender) say(line, code string) error {
	if _, err := s.Write([]byte(line)); err != nil {
		return err
	}
	return s.expect(code)
}

// expect reads a reply.
func (s *sender) expect(code string) error {
	for {
		line, err := s.r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case !bytes.HasPrefix(line, []byte(code)):
			return fmt.Errorf("the reply is %q, not %s", line, code)
		case len(line) < 4 || line[3] != '-':
			return nil
		}
	}
}

// send sends one message, with the commands in one packet (RFC 2920).
func (s *sender) send(to string, text []byte) error {
	s.SetDeadline(time.Now().Add(time.Minute))
	if err := s.say("MAIL FROM:<carol@example.net>\r\nRCPT TO:<"+to+">\r\nDATA\r\n", "250"); err != nil {
		return err
	}
	if err := errors.Join(s.expect("250"), s.expect("354")); err != nil {
		return err
	}
	return s.say(string(text), "250")
}

// startSink starts a mail server that throws everything away.
func startSink(b *testing.B) string {
	return serve(b, func(ctx context.Context, ln net.Listener) error {
		var open sync.WaitGroup
		defer open.Wait()
		stop := context.AfterFunc(ctx, func() { ln.Close() })
		defer stop()
		for {
			nc, err := ln.Accept()
			if err != nil {
				return nil
			}
			open.Go(func() {
				defer nc.Close()
				sink(nc)
			})
		}
	})
}

// sink talks to one sender until he goes.
func sink(nc net.Conn) {
	r := bufio.NewReader(nc)
	reply := func(text string) { nc.Write([]byte(text + "\r\n")) } // Reading notices a sender who has gone.
	reply("220 sink.example.org")
	for data := false; ; {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch {
		case data && string(line) != ".\r\n":
		case bytes.HasPrefix(line, []byte("DATA")):
			data = true
			reply("354 go on")
		default:
			data = false
			reply("250 ok")
		}
	}
}

// serveDNS answers with records in zone-file form, and returns its address.
func serveDNS(b *testing.B, records ...string) string {
	b.Helper()
	byName := map[string][]dns.RR{}
	for _, line := range records {
		rr, err := dns.NewRR(line)
		if err != nil {
			b.Fatal(err)
		}
		byName[rr.Header().Name] = append(byName[rr.Header().Name], rr)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	started, ended := make(chan bool), make(chan error, 1)
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		all, ok := byName[strings.ToLower(q.Question[0].Name)]
		if !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range all {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		w.WriteMsg(m) // A lost answer is asked for again.
	})}
	go func() { ended <- srv.ActivateAndServe() }()
	<-started
	b.Cleanup(func() {
		srv.Shutdown() // Its error is that of ended.
		if err := <-ended; err != nil {
			b.Errorf("the name server ended with %v", err)
		}
	})
	return pc.LocalAddr().String()
}
