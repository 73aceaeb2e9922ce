package gateway

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/tests/lab"
)

// An authority signs users' certificates, as the service ca does.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T, pem, key []byte) (a authority) {
	t.Helper()
	var err error
	a.cert, err = certs.ParseCert(pem)
	check(t, err)
	a.key, err = certs.ParseKey(key)
	check(t, err)
	return a
}

// certificate makes one of a plan.
func (a authority) certificate(t *testing.T, plan lease.Plan, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	now := time.Now()
	tmpl, err := certs.VPNClient(plan, rand.Reader, life, now)
	check(t, err)
	tmpl.NotAfter = now.Add(life)
	der, err := certs.Create(tmpl, a.cert, key.Public(), a.key, rand.Reader)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// An account is a user's way to the lease API.
type account struct {
	w    *world
	cert tls.Certificate
	http http.Client
}

func (w *world) account(cert tls.Certificate) *account {
	trust := w.web.Clone()
	trust.Certificates, trust.MinVersion = []tls.Certificate{cert}, tls.VersionTLS13
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.user.DialContext(ctx, network, netip.AddrPortFrom(entry, 443).String())
		},
		TLSClientConfig: trust, ForceAttemptHTTP2: true,
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &account{w: w, cert: cert, http: http.Client{Transport: tr, Timeout: time.Minute}}
}

// do asks the lease API.
func (a *account) do(ctx context.Context, method, path string, body any) (int, []byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+a.w.web.ServerName+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, lease.MaxReply))
	return resp.StatusCode, answer, err
}

// lease gets one for a new key.
func (a *account) lease(ctx context.Context) (key lease.Key, l lease.Lease, err error) {
	key = gatewaytest.NewKey()
	status, answer, err := a.do(ctx, http.MethodPost, lease.PathLease, lease.Request{
		WGPublicKey: key.Public(), Want: lease.Want{IPv6: true, Transport: lease.UDP},
	})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	if err == nil {
		l, err = lease.ParseLease(answer)
	}
	return key, l, err
}

// bucket is how many leases there are, roughly.
func (a *account) bucket() int {
	a.w.t.Helper()
	status, answer, err := a.do(a.w.t.Context(), http.MethodGet, lease.PathStatus, nil)
	check(a.w.t, err)
	s, err := lease.ParseStatus(answer)
	if err != nil {
		a.w.t.Fatalf("status %d, %v: %s", status, err, answer)
	}
	return s.PeersBucket
}

// A session is a lease with its tunnel.
type session struct {
	*gatewaytest.Client
	granted lease.Lease
	w       *world
}

// connect gets a lease, as soon as there is one, and makes the tunnel to a port of
// the gateway.
func (a *account) connect(at netip.AddrPort) *session {
	w := a.w
	w.t.Helper()
	var key lease.Key
	var l lease.Lease
	w.Until("there is a lease", func(ctx context.Context) (err error) {
		key, l, err = a.lease(ctx)
		return err
	})
	from := own
	if at.Addr().Is6() {
		from = own6
	}
	socket, err := w.user.ListenUDP(netip.AddrPortFrom(from, 0))
	check(w.t, err)
	s := &session{w: w, granted: l, Client: &gatewaytest.Client{
		Key: key, PSK: l.PSK, Gateway: l.GatewayPublicKey, Endpoint: at, Socket: socket, Addresses: l.Addresses, MTU: l.MTU,
	}}
	check(w.t, s.Start())
	w.t.Cleanup(s.Close)
	return s
}

// get asks the world who it sees.
func (s *session) get(ctx context.Context, at netip.Addr) (string, error) {
	tr := &http.Transport{DialContext: s.Net.DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+netip.AddrPortFrom(at, 80).String()+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// seen wants the world to see the user at the gateway's address, by both families.
func (s *session) seen() {
	s.w.t.Helper()
	for at, want := range map[netip.Addr]netip.Addr{place: egress, place6: egress6} {
		ctx, cancel := context.WithTimeout(s.w.t.Context(), lab.Patience)
		text, err := s.get(ctx, at)
		cancel()
		if err != nil || text != inside+want.String() {
			s.w.t.Errorf("%v says %q to the user, %v", at, text, err)
		}
	}
}

// names wants the gateway's resolvers, at its addresses in the tunnel, to find the
// world by its name, and others not to be asked.
func (s *session) names() {
	t := s.w.t
	t.Helper()
	for _, at := range s.granted.DNS {
		s.w.Until("names are resolved", func(context.Context) error {
			addrs, err := s.resolve(at)
			if err == nil && !slices.Equal(addrs, []netip.Addr{place}) {
				err = fmt.Errorf("%v says %v", at, addrs)
			}
			return err
		})
	}
	if addrs, err := s.resolve(place); err == nil {
		t.Errorf("another resolver is asked, and says %v", addrs)
	}
}

func (s *session) resolve(at netip.Addr) (addrs []netip.Addr, err error) {
	c, err := s.Net.DialUDPAddrPort(netip.AddrPort{}, netip.AddrPortFrom(at, 53))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // The answer is read, or an error returned.
	answer, _, err := (&dns.Client{Timeout: 2 * time.Second}).ExchangeWithConn(new(dns.Msg).SetQuestion(placeName+".", dns.TypeA), &dns.Conn{Conn: c})
	if err != nil {
		return nil, err
	}
	for _, rr := range answer.Answer {
		if a, ok := rr.(*dns.A); ok {
			addrs = append(addrs, netip.AddrFrom4([4]byte(a.A.To4())))
		}
	}
	return addrs, nil
}

// node wants the user to reach through the tunnel, of all that the gateway's node
// has, the lease API alone; a neighbour without it reaches the agent as well.
func (s *session) node() {
	t := s.w.t
	t.Helper()
	targets, _ := s.w.Op.Targets(nodeName)
	agent := targets[0].Document.Agent.Port
	neighbour := s.w.host("neighbour", netip.MustParseAddr("198.51.100.60"), netip.MustParseAddr("2001:db8:77::60"))
	outside, err := neighbour.DialContext(t.Context(), "tcp", netip.AddrPortFrom(entry, agent).String())
	check(t, err)
	check(t, outside.Close())
	for at, want := range map[netip.AddrPort]bool{
		netip.AddrPortFrom(entry, 443):              true,
		netip.AddrPortFrom(entry6, 443):             true,
		netip.AddrPortFrom(egress, 443):             false,
		netip.AddrPortFrom(entry, agent):            false,
		netip.AddrPortFrom(entry6, agent):           false,
		netip.AddrPortFrom(s.granted.DNS[0], agent): false,
		netip.AddrPortFrom(operators, agent):        false,
	} {
		within := time.Second
		if want {
			within = lab.Patience
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		c, err := s.Net.DialContextTCPAddrPort(ctx, at)
		cancel()
		if err == nil {
			check(t, c.Close())
		}
		if (err == nil) != want {
			t.Errorf("%v is reached through the tunnel: %v, want %v: %v", at, err == nil, want, err)
		}
	}
}

// lost reports whether nothing comes through the tunnel any more.
func (s *session) lost() bool {
	s.w.t.Helper()
	ctx, cancel := context.WithTimeout(s.w.t.Context(), time.Second)
	defer cancel()
	_, err := s.get(ctx, place)
	return err != nil
}
