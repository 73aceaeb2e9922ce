package gateway_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// TestLife: a lease from its grant to its end.
func TestLife(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Limited)))
	r := request()
	l := w.must(t, c, "POST", lease.PathLease, r)
	key, err := gateway.ReadKey(w.cfg.WGKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	own := w.cfg.Own()
	switch {
	case !l.PQ || l.Plan != lease.Limited || l.RateBytesPerS != gateway.DefaultRate || l.MTU != gateway.DefaultMTU:
		t.Errorf("plan %s, rate %d, MTU %d, pq %v", l.Plan, l.RateBytesPerS, l.MTU, l.PQ)
	case l.GatewayPublicKey != key.Public():
		t.Error("not the gateway's key")
	case !slices.Equal(l.DNS, own) || len(l.Addresses) != 2 || !w.cfg.IPv4.Contains(l.Addresses[0].Addr()) || slices.Contains(own, l.Addresses[0].Addr()):
		t.Errorf("addresses %v, DNS %v", l.Addresses, l.DNS)
	case l.NotAfter.After(time.Now().Add(24*time.Hour)) || l.NotAfter.Before(time.Now().Add(23*time.Hour)) || !l.RenewAfter.Before(l.NotAfter):
		t.Errorf("ends %v, renewed %v", l.NotAfter, l.RenewAfter)
	case len(l.Endpoints) != 2 || l.Endpoints[0].Proto != lease.UDP || l.Endpoints[1].Proto != lease.UDP2TCP:
		t.Errorf("endpoints %v", l.Endpoints)
	}
	f.do(func() {
		p := f.peers[r.WGPublicKey]
		if p.PSK != l.PSK || !slices.Equal(p.Addresses, l.Addresses) {
			t.Error("the data plane has another peer than the lease says")
		}
		if !slices.Equal(f.limited, []netip.Addr{l.Addresses[0].Addr(), l.Addresses[1].Addr()}) {
			t.Errorf("limited: %v", f.limited)
		}
	})

	again := w.must(t, c, "PUT", l.LeaseID.Path(), r)
	if again.LeaseID != l.LeaseID || again.PSK == l.PSK || !slices.Equal(again.Addresses, l.Addresses) {
		t.Error("renewed: not the same lease, or not another PSK")
	}
	lost := w.must(t, c, "POST", lease.PathLease, r) // As if the answer was lost.
	if lost.LeaseID != l.LeaseID || lost.PSK == again.PSK {
		t.Error("asked again: not the same lease, or not another PSK")
	}
	// A newer certificate, another key, only IPv4 and the fallback first.
	c2 := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	r2 := request()
	r2.Want = lease.Want{Transport: lease.UDP2TCP}
	l2 := w.must(t, c2, "PUT", l.LeaseID.Path(), r2)
	if l2.Plan != lease.Unlimited || l2.RateBytesPerS != 0 || len(l2.Addresses) != 1 || l2.Addresses[0] != l.Addresses[0] || l2.Endpoints[0].Proto != lease.UDP2TCP || len(l2.DNS) != 1 {
		t.Errorf("renewed otherwise: %+v", l2)
	}
	f.do(func() {
		if len(f.peers) != 1 || f.peers[r2.WGPublicKey].PSK != l2.PSK || len(f.limited) != 0 {
			t.Errorf("%d peers, limited %v", len(f.peers), f.limited)
		}
	})
	body, err := w.call(t, c, "GET", lease.PathStatus, nil)
	if s, e := lease.ParseStatus(body); err != nil || e != nil || s != (lease.Status{Load: 0, PeersBucket: 16}) {
		t.Errorf("status %+v, %v, %v", s, err, e)
	}

	f.do(func() { f.calls = nil })
	if _, err := w.call(t, c2, "DELETE", l.LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	f.do(func() {
		if len(f.peers) != 0 || f.calls[0] != "remove" {
			t.Errorf("%d peers, calls %v", len(f.peers), f.calls)
		}
	})
	eventually(t, "the flows are forgotten", func() (ok bool) {
		f.do(func() { ok = slices.Contains(f.calls, "forget "+l2.Addresses[0].Addr().String()) })
		return ok
	})
	for _, method := range []string{"PUT", "DELETE"} {
		if _, err := w.call(t, c2, method, l.LeaseID.Path(), r2); !errors.Is(err, problem.NotExist) {
			t.Errorf("%s after the end: %v", method, err)
		}
	}
}

// TestRefused: who is not let in, and why.
func TestRefused(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	now := time.Now()
	made := func(change func(c *x509.Certificate)) *tls.Certificate {
		tmpl, err := certs.VPNClient(lease.Unlimited, rand.Reader, time.Hour, now)
		if err != nil {
			t.Fatal(err)
		}
		change(tmpl)
		return w.clients.issue(t, tmpl)
	}
	good := w.clients.vpn(t, lease.Unlimited)
	for name, tt := range map[string]struct {
		cert  *tls.Certificate
		conf  func(*tls.Config)
		want  problem.Kind // "": the handshake fails,
		alert string       // with this.
	}{
		"no certificate":   {alert: "certificate required"},
		"wrong CA":         {cert: newAuthority(t, true).vpn(t, lease.Unlimited), alert: "unknown certificate authority"},
		"expired":          {cert: made(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }), alert: "expired certificate"},
		"not yet valid":    {cert: made(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), alert: "expired certificate"},
		"server EKU":       {cert: made(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), alert: "bad certificate"},
		"TLS 1.2":          {cert: good, conf: func(c *tls.Config) { c.MaxVersion, c.CurvePreferences = tls.VersionTLS12, nil }, alert: "protocol version"},
		"no quantum group": {cert: good, conf: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256} }, alert: "handshake failure"},
		"mail":             {cert: w.clients.issue(t, certs.SMTPClient("alice@example.org", time.Hour, now)), want: problem.Permission},
		"no plan":          {cert: made(func(c *x509.Certificate) { c.ExtraExtensions, c.Subject.CommonName = nil, "x" }), want: problem.Permission},
	} {
		conf := w.tls(tt.cert)
		if tt.conf != nil {
			tt.conf(conf)
		}
		if tt.want == "" {
			if err := w.shake(t, conf); err == nil || !strings.Contains(err.Error(), tt.alert) {
				t.Errorf("%s: %v, want %s", name, err, tt.alert)
			}
		}
		_, err := w.call(t, w.client(t, conf), "POST", lease.PathLease, request())
		if err == nil || tt.want != "" && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if n := len(f.keys()); n != 0 {
		t.Errorf("%d peers", n)
	}
	c := w.client(t, w.tls(good))
	for name, body := range map[string]any{"no key": lease.Request{}, "own key": lease.Request{WGPublicKey: w.public(t)}, "too long": strings.Repeat("x", lease.MaxRequest), "a list": []int{1}} {
		if _, err := w.call(t, c, "POST", lease.PathLease, body); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.call(t, c, "PUT", lease.PathLease+"/..%2f", request()); !errors.Is(err, problem.NotExist) {
		t.Errorf("a malformed ID: %v", err)
	}
	// A connection that outlives its certificate.
	w.must(t, c, "POST", lease.PathLease, request())
	w.pass(9 * 24 * time.Hour)
	if _, err := w.call(t, c, "POST", lease.PathLease, request()); !errors.Is(err, problem.Permission) {
		t.Errorf("after the certificate's end: %v", err)
	}
}

// shake returns what becomes of a connection on which the client says nothing.
func (w *world) shake(t testing.TB, conf *tls.Config) error {
	t.Helper()
	conn, err := tls.Dial("tcp", w.addr, conf)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1)) // In TLS 1.3 the client is done before its certificate is judged.
	return err
}

func (w *world) public(t testing.TB) lease.Key {
	t.Helper()
	key, err := gateway.ReadKey(w.cfg.WGKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

// TestClassical: a gateway may be told to admit clients without the group, and
// says in their leases what that is worth.
func TestClassical(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) { c.AllowClassical = true })
	w.run(t)
	conf := w.tls(w.clients.vpn(t, lease.Unlimited))
	if l := w.must(t, w.client(t, conf.Clone()), "POST", lease.PathLease, request()); !l.PQ {
		t.Error("pq is false by X25519MLKEM768")
	}
	conf.CurvePreferences = []tls.CurveID{tls.X25519}
	if l := w.must(t, w.client(t, conf), "POST", lease.PathLease, request()); l.PQ {
		t.Error("pq is true by X25519")
	}
}

// TestProtocols: HTTP/1.1 and HTTP/2 are spoken by one listener.
func TestProtocols(t *testing.T) {
	w := newWorld(t, newFake().plane(), nil)
	w.run(t)
	for _, h2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: w.tls(w.clients.vpn(t, lease.Unlimited)), ForceAttemptHTTP2: h2}
		resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("https://" + w.addr + lease.PathStatus)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want || resp.StatusCode != 200 {
			t.Errorf("HTTP/%d, status %d", resp.ProtoMajor, resp.StatusCode)
		}
	}
}
