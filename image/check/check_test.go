package check_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/protocol/certs"
)

type lines struct{ r *bufio.Reader }

func newLines(conn net.Conn) *lines { return &lines{bufio.NewReader(conn)} }

func (l *lines) next() (string, error) {
	line, err := l.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// TestInside is what the agent tells.
func TestInside(t *testing.T) {
	w := newWorld(t, ",soledad")
	w.agent.Checks = []node.Check{{Name: "mesh", State: node.CheckFail, Text: "db1 does not answer"}}
	w.want(w.run(nil), map[string]string{
		"agent": "ok", "generation": "ok", "soledad": "ok", "mesh": "db1 does not answer", "certificates": "ok",
		"clock": "off by", "disk": "it has none", "ports": "port 2323 of soledad does not answer", "soledad.tls": "refused",
	})
	// A document that was taken back is told for ever, and warned of while it is the
	// one that should be.
	compiled := w.document
	w.document.LeastImage = "9.0.0"
	w.agent.Judge(func(node.Document) string { return "no queue" })
	if r := w.push(w.document); r.OK() {
		t.Errorf("got %+v", r)
	}
	w.want(w.run(nil), map[string]string{"generation": "warn 2 was tried and taken back"})
	w.document = compiled
	w.want(w.run(nil), map[string]string{"generation": "ok"})
	w.document.LeastImage = "9.0.0"
	w.now = w.now.AddDate(1, 0, -3)
	w.want(w.run(nil), map[string]string{"certificates": "warn files/nodes/web1/server.crt ends on"})
	ok(t, w.agent.Close())
	if got := w.run(nil); len(got) != 1 || got["agent"].State != node.CheckFail {
		t.Errorf("without an agent: %+v", got)
	}
	ok(t, w.agent.Start(w.agent.Address()))
}

// pages are those of webapp, as far as checks ask for them.
func pages(t *testing.T, w *world) *http.ServeMux {
	t.Helper()
	about, err := compile.Bootstrap(w.i, "")
	ok(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /provider.json", func(rw http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(rw).Encode(about) })
	mux.HandleFunc("GET /ca.crt", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(w.i.Files["ca/ca.crt"]) })
	mux.HandleFunc("GET /1/configs.json", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /1/messages.json", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) })
	mux.HandleFunc("POST /1/users", func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("user[invite_code]"), "often") {
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		http.Error(rw, `{"errors":"no"}`, http.StatusUnprocessableEntity)
	})
	return mux
}

func TestWeb(t *testing.T) {
	w := newWorld(t, ",webapp")
	mux := pages(t, w)
	for _, port := range []uint16{compile.PortWeb, compile.PortAPI, compile.PortNickserver} {
		w.ports[port] = w.https(w.certificate(), mux)
	}
	invited := ""
	found := w.run(func(_ context.Context, n *provider.Node) (string, error) { invited = n.Name; return "abcd-efgh", nil })
	w.want(found, map[string]string{
		"web.tls": "ok", "web.page": "ok", "web.provider": "ok", "api.tls": "ok", "api.answers": "ok", "ports": "ok", "nickserver.tls": "ok",
		"nickserver.lookup": "answers with status 200 instead of 404", "account": `POST /1/users answers with status 422: {"errors":"no"}`,
	})
	if invited != "web1" {
		t.Errorf("an invitation of %q", invited)
	}
	w.want(w.run(func(context.Context, *provider.Node) (string, error) { return "often", nil }), map[string]string{"account": "warn asked too often"})
	w.want(w.run(func(context.Context, *provider.Node) (string, error) { return "", errors.New("none today") }), map[string]string{"account": "none today"})

	// Somebody else's certificate, and pages of another provider.
	w.ports[compile.PortAPI] = w.https(foreign(t), mux)
	w.ports[compile.PortWeb] = w.https(w.certificate(), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = rw.Write([]byte("{}"))
	}))
	w.want(w.run(nil), map[string]string{
		"web.page": "answers with status 502 instead of 200", "web.provider": "provider.json: ", "api.tls": "unknown authority",
	})
	w.now = w.now.AddDate(1, 0, -3)
	w.want(w.run(nil), map[string]string{"web.tls": "warn demo.example, good until"})
	w.now = w.now.AddDate(0, 0, 10)
	w.want(w.run(nil), map[string]string{"web.tls": "expired"})
}

// foreign is a certificate of an authority that nobody knows.
func foreign(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ok(t, err)
	tmpl := certs.CA("Other", "demo.example", false, time.Now())
	tmpl.DNSNames = []string{"api.demo.example"}
	der, err := certs.Create(tmpl, tmpl, key.Public(), key, rand.Reader)
	ok(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestMail(t *testing.T) {
	w := newWorld(t, ",mx")
	const unknown, elsewhere = "RCPT TO:<nobody-is-called-this@demo.example>", "RCPT TO:<nobody-is-called-this@elsewhere.invalid>"
	for _, test := range []struct {
		name, banner string
		answers      map[string]string
		want         map[string]string
	}{
		{"good", "220 web1.demo.example ready", map[string]string{unknown: "550 no", elsewhere: "550 no"}, map[string]string{
			"mx.starttls": "ok", "mx.recipients": "ok", "relay.starttls": "ok", "relay.login": "ok",
		}},
		{"open to all", "220 web1.demo.example ready", nil, map[string]string{
			"mx.recipients": "takes mail for somebody who is not there", "relay.login": "an open relay",
		}},
		{"an open relay", "220 web1.demo.example ready", map[string]string{unknown: "550 no"}, map[string]string{"mx.recipients": "an open relay"}},
		{"with another trouble", "220 web1.demo.example ready", map[string]string{unknown: "451 later"}, map[string]string{"mx.recipients": "instead of 550"}},
		{"somebody else", "220 mail.other.example ready", nil, map[string]string{"mx.starttls": "should begin with 220 web1.demo.example"}},
		{"busy", "421 later", nil, map[string]string{"mx.starttls": "421", "relay.tls": "refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.t = t
			w.ports[compile.PortMX], w.ports[compile.PortSubmission] = w.script(test.banner, test.answers), w.script(test.banner, test.answers)
			w.want(w.run(nil), test.want)
		})
	}
	w.t = t
	// At the other port of the relay TLS comes first.
	plain := w.script("220 web1.demo.example ready", nil)
	pair := w.certificate()
	w.ports[compile.PortSubmissions] = func(conn net.Conn) {
		plain(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}}))
	}
	w.want(w.run(nil), map[string]string{"relay.tls": "ok"})
}

func TestDNS(t *testing.T) {
	w := newWorld(t, ",dns,webapp,mx")
	serve := func(serial uint32, address string, foreign int) func(net.Conn) {
		return func(conn net.Conn) {
			c := &dns.Conn{Conn: conn}
			q, err := c.ReadMsg()
			if err != nil {
				return // Only opened.
			}
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			name := q.Question[0].Name
			switch {
			case !dns.IsSubDomain("demo.example.", name):
				m.SetRcode(q, foreign)
			case q.Question[0].Qtype == dns.TypeSOA:
				m.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".", Serial: serial}}
			default:
				m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(address)}}
			}
			_ = c.WriteMsg(m) // The client has gone.
		}
	}
	serial := w.i.Zones["demo.example"].Serial
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"good":          {serve(serial, "192.0.2.11", dns.RcodeRefused), "ok"},
		"old":           {serve(serial+1, "192.0.2.11", dns.RcodeRefused), "its serial should be"},
		"moved":         {serve(serial, "192.0.2.99", dns.RcodeRefused), "has the addresses [192.0.2.99]"},
		"open resolver": {serve(serial, "192.0.2.11", dns.RcodeSuccess), "a zone that is not its own"},
		"silent":        {func(net.Conn) {}, "demo.example.: "},
	} {
		w.ports[compile.PortDNS] = test.serve
		t.Log(name)
		w.want(w.run(nil), map[string]string{"dns.tcp": test.want})
	}
}

// TestOpenPort: what is for the mesh alone answers from outside.
func TestOpenPort(t *testing.T) {
	w := newWorld(t, "")
	w.want(w.run(nil), map[string]string{"ports": "ok"})
	w.ports[5984] = func(net.Conn) {}
	w.want(w.run(nil), map[string]string{"ports": "port 5984 of bigcouch answers, and is for the mesh alone"})
}
