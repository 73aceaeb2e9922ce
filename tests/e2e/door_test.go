package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"

	"leap.example/tests/e2e/process"
)

// A door is one listener of a provider.
type door struct {
	name, addr string
	host       string      // Its name in the certificate.
	tls        *tls.Config // Nil: clear text.
	http, smtp bool        // What is spoken there; else it is DNS.
	udp        bool
	classic    bool          // What is malformed is answered 500 there, as in the original protocol.
	head, body time.Duration // How long it waits for the rest of a request's; 0: longer than this test.

	honest func(ctx context.Context) error // A request as it should be.
}

// attacker returns an address of those who attack. Honest clients come from
// 127.0.0.1.
func attacker() net.IP { return net.IPv4(127, 66, byte(rand.IntN(8)), byte(1+rand.IntN(250))) }

// dial connects without TLS. The connection lives for half a minute.
func (d *door) dial(ctx context.Context) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: attacker()}}
	c, err := dialer.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(30 * time.Second))
}

// open connects, with TLS if the door has it.
func (d *door) open(ctx context.Context) (net.Conn, error) {
	c, err := d.dial(ctx)
	if err != nil || d.tls == nil {
		return c, err
	}
	t := tls.Client(c, d.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return t, nil
}

// doors returns every listener of a provider, and of each what an honest
// client does there.
func doors(t *testing.T, p *process.Provider, post *post, user *mailbox) []*door {
	t.Helper()
	ca := process.TLS(t, p.At.CAFile)
	hc := p.HTTP(t, "127.0.0.1")
	domain := p.At.Domain
	get := func(url string, want int) func(context.Context) error {
		return func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			resp, err := hc.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
				return fmt.Errorf("%s: %s, %v", url, resp.Status, err)
			}
			return nil
		}
	}
	web := func(name, base, path string, want int, body time.Duration) *door {
		host, port, err := net.SplitHostPort(base[strings.LastIndexByte(base, '/')+1:])
		if err != nil {
			t.Fatal(err)
		}
		d := &door{name: name, addr: "127.0.0.1:" + port, host: host, http: true, honest: get(base+path, want), head: 5 * time.Second, body: body, classic: name == "nickserver"}
		if strings.HasPrefix(base, "https:") {
			d.tls = ca.Clone()
			d.tls.ServerName = host
		}
		return d
	}
	sender := &sender{post: post, from: "honest@outside.example", to: []string{user.address}}
	submit := &door{name: "submissions", addr: p.At.Submissions, host: "smtp." + domain, tls: ca.Clone(), smtp: true}
	submit.tls.ServerName = submit.host
	return []*door{
		web("web", p.At.Web, "/provider.json", 200, 0),
		web("api", p.At.API, "/1/provider", 200, 0),
		web("nickserver", p.At.Nickserver, "/?address=nobody@"+domain, 404, 10*time.Second),
		web("wkd", p.At.WKD, "/.well-known/openpgpkey/"+domain+"/policy", 200, 10*time.Second),
		web("soledad", p.At.Soledad, "/", 200, 0),
		web("couch", p.At.Couch, "/_up", 200, 0),
		web("health", "http://"+p.At.Health, "/", 200, 0),
		{name: "mx", addr: p.At.MX, host: "mx." + domain, smtp: true, honest: func(ctx context.Context) error { return sender.send(ctx, p.At.MX) }},
		{name: "submission", addr: p.At.Submission, host: "smtp." + domain, smtp: true, honest: func(ctx context.Context) error {
			return greet(ctx, p.At.Submission, func(c net.Conn) (*smtp.Client, error) { return smtp.NewClientStartTLS(c, submit.tls) })
		}},
		withHonest(submit, func(ctx context.Context) error {
			return greet(ctx, p.At.Submissions, func(c net.Conn) (*smtp.Client, error) { return smtp.NewClient(tls.Client(c, submit.tls)), nil })
		}),
		{name: "dns/udp", addr: p.At.Resolver, udp: true, honest: func(ctx context.Context) error { return resolve(ctx, "udp", p.At.Resolver, "mx."+domain) }},
		{name: "dns/tcp", addr: p.At.Resolver, head: 10 * time.Second, honest: func(ctx context.Context) error { return resolve(ctx, "tcp", p.At.Resolver, "mx."+domain) }},
	}
}

func withHonest(d *door, f func(context.Context) error) *door {
	d.honest = f
	return d
}

// greet says hello to a server of submission and sees that it wants to know
// who comes.
func greet(ctx context.Context, addr string, client func(net.Conn) (*smtp.Client, error)) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c, err := client(conn)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("honest.example"); err != nil {
		return err
	}
	if err := c.Mail("honest@outside.example", nil); code(err) != 530 {
		return fmt.Errorf("a stranger who wants to submit: %v, want 530", err)
	}
	return nil
}

// resolve asks for an address, by UDP again if no answer comes.
func resolve(ctx context.Context, network, server, name string) error {
	q := new(dns.Msg)
	q.SetQuestion(name+".", dns.TypeA)
	c := dns.Client{Net: network, Timeout: 2 * time.Second}
	a, _, err := c.ExchangeContext(ctx, q, server)
	for try := 1; try < 6 && network == "udp" && errors.Is(err, os.ErrDeadlineExceeded); try++ {
		a, _, err = c.ExchangeContext(ctx, q, server)
	}
	if err == nil && len(a.Answer) != 1 {
		err = fmt.Errorf("%d answers, code %d", len(a.Answer), a.Rcode)
	}
	return err
}

// signerFile is the public key of a provider's MX.
func signerFile(p *process.Provider) string { return filepath.Join(p.Dir, "mx", "signing.pub") }

// udp returns a socket of an attacker.
func udp(addr string) (*net.UDPConn, error) {
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	return net.DialUDP("udp", &net.UDPAddr{IP: attacker()}, to)
}
