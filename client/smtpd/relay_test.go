package smtpd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/client/smtpd"
)

// certify makes a certificate under a CA, or the CA itself.
func certify(tb testing.TB, tmpl, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*tls.Certificate, *x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	check(tb, err)
	cert, err := x509.ParseCertificate(der)
	check(tb, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert, key
}

// A peer is the provider's relay: a real SMTP server over TLS that asks for a
// client certificate.
type peer struct {
	mu   sync.Mutex
	mail []string
}

type peerSession struct {
	p    *peer
	name string
	to   []string
}

func (s *peerSession) Reset()        { s.to = nil }
func (s *peerSession) Logout() error { return nil }
func (s *peerSession) Mail(from string, _ *smtp.MailOptions) error {
	if from != s.name {
		return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "not yours"}
	}
	return nil
}

func (s *peerSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "no") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *peerSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if strings.Contains(string(data), "refuse me") {
		return &smtp.SMTPError{Code: 554, Message: "content"}
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.mail = append(s.p.mail, fmt.Sprint(s.to, string(data)))
	return nil
}

func TestSMTPRelay(t *testing.T) {
	_, ca, caKey := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	serverCert, _, _ := certify(t, &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, caKey)
	clientCert, _, _ := certify(t, &x509.Certificate{Subject: pkix.Name{CommonName: "alice@leap.example"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, caKey)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	p := &peer{}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		state, _ := c.TLSConnectionState()
		return &peerSession{p: p, name: state.PeerCertificates[0].Subject.CommonName}, nil
	}))
	server.Domain, server.ErrorLog = "relay", logNothing{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{*serverCert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}))
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	_, port, err := net.SplitHostPort(ln.Addr().String())
	check(t, err)
	r := &smtpd.SMTPRelay{
		Addr: net.JoinHostPort("localhost", port), Roots: roots,
		Certificate: func(context.Context) (*tls.Certificate, error) { return clientCert, nil },
	}
	submit := func(from, body string, to ...string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return r.Submit(ctx, from, to, []byte("Subject: s\r\n\r\n"+body+"\r\n"))
	}
	dropped := 0
	r.Refused = func() { dropped++ }
	check(t, submit("alice@leap.example", "one\r\n.\r\ntwo", "bob@leap.example", "carol@leap.example"))
	if want := "[bob@leap.example carol@leap.example]Subject: s\r\n\r\none\r\n.\r\ntwo\r\n"; len(p.mail) != 1 || p.mail[0] != want {
		t.Errorf("arrived %q, want %q", p.mail, want)
	}
	err = submit("alice@leap.example", "x", "bob@leap.example", "nobody@leap.example")
	if e, ok := errors.AsType[*smtpd.Partial](err); !ok || len(e.Refused) != 1 || e.Refused["nobody@leap.example"] == nil {
		t.Errorf("one wrong recipient: %v", err)
	}
	err = submit("alice@leap.example", "x", "nobody@leap.example")
	if e, ok := errors.AsType[*smtpd.Partial](err); !ok || len(e.Refused) != 1 {
		t.Errorf("only wrong recipients: %v", err)
	}
	for name, err := range map[string]error{
		"another sender": submit("bob@leap.example", "x", "bob@leap.example"),
		"content":        submit("alice@leap.example", "refuse me", "bob@leap.example"),
	} {
		if e, ok := errors.AsType[*smtpd.Reply](err); !ok || !e.Permanent() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.mail) != 2 {
		t.Errorf("%d messages arrived, want 2", len(p.mail))
	}
	// What is not the relay's word is no verdict on the message.
	r.Roots = x509.NewCertPool()
	if err := submit("alice@leap.example", "x", "bob@leap.example"); err == nil || isReply(err) {
		t.Errorf("another relay: %v", err)
	}
	r.Roots = roots
	if dropped != 0 {
		t.Error("the certificate was dropped although nobody refused it")
	}
	r.Certificate = func(context.Context) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	if err := submit("alice@leap.example", "x", "bob@leap.example"); err == nil || isReply(err) || dropped != 1 {
		t.Errorf("without certificate: %v, dropped %d times", err, dropped)
	}
	r.Certificate = func(context.Context) (*tls.Certificate, error) { return nil, errors.New("offline") }
	if err := submit("alice@leap.example", "x", "bob@leap.example"); err == nil || isReply(err) {
		t.Errorf("no certificate to be had: %v", err)
	}
}

func isReply(err error) bool {
	_, ok := errors.AsType[*smtpd.Reply](err)
	return ok
}

type logNothing struct{}

func (logNothing) Printf(string, ...any) {}
func (logNothing) Println(...any)        {}
