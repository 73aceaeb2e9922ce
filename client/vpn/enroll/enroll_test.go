package enroll_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, a.String())
}

func client(t *testing.T, a *vpntest.Authority, pem []byte, classical bool) *enroll.Client {
	t.Helper()
	pair, err := policy.PairOf(pem).TLS()
	if err != nil {
		t.Fatal(err)
	}
	c, err := enroll.New(enroll.Config{Dial: dial, CA: a.PEM, Classical: classical}, pair)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestLease(t *testing.T) {
	a := vpntest.NewAuthority(t)
	g := vpntest.NewGateway(t, a, "gw1.example.org", nil)
	c := client(t, a, a.Client(t, time.Hour), false)
	to := g.Machine()
	to.Lease = append([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9")}, to.Lease...) // Nobody is there.
	grant, err := c.Lease(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if !grant.Lease.PQ || grant.Key.IsZero() || grant.Remote != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("granted %+v", grant)
	}
	renewed, err := c.Renew(t.Context(), grant)
	if err != nil || renewed.Lease.LeaseID != grant.Lease.LeaseID || renewed.Lease.PSK == grant.Lease.PSK || renewed.Key != grant.Key {
		t.Errorf("renewed %+v, %v", renewed, err)
	}
	if err := c.End(t.Context(), grant); err != nil {
		t.Error(err)
	}
	_, err = c.Renew(t.Context(), grant)
	if e, ok := errors.AsType[*enroll.Error](err); !ok || e.Fault != machine.Gone {
		t.Errorf("renewed after the end: %v", err)
	}
	var kinds []enroll.Kind
	for _, r := range grant.Machine(a.PEM, policy.PairOf([]byte("pair")), enroll.Kind{}).Routes {
		kinds = append(kinds, enroll.KindOf(r))
		if (r.Wrap != nil) != (r.Endpoint.Port() == 443) {
			t.Errorf("route %+v", r)
		}
	}
	want := []enroll.Kind{{Port: 51820}, {Port: 53}, {Port: 443, TLS: true}, {Port: 51820}}
	if !reflect.DeepEqual(kinds, want) {
		t.Errorf("the order is %v, want %v", kinds, want)
	}
	if r := grant.Machine(a.PEM, policy.Pair{}, enroll.Kind{Port: 443, TLS: true}).Routes[0]; r.Wrap == nil {
		t.Errorf("what worked is not the first: %+v", r)
	}
}

// TestOrder: where no UDP passes, TLS is tried before the machine gives a gateway
// up, also one that has as many ports as a provider's have by default.
func TestOrder(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	udp, tcp := []uint16{51821, 53, 80, 443, 1194}, []uint16{443, 1194}
	g := enroll.Grant{Remote: v4, Lease: lease.Lease{Endpoints: []lease.Endpoint{
		{Addr: v6, Ports: udp, Proto: lease.UDP},
		{Addr: v4, Ports: udp, Proto: lease.UDP},
		{Addr: v6, Ports: tcp, Proto: lease.UDP2TCP},
		{Addr: v4, Ports: tcp, Proto: lease.UDP2TCP},
	}}}
	var got []enroll.Kind
	for i, r := range g.Machine(nil, policy.Pair{}, enroll.Kind{}).Routes {
		got = append(got, enroll.KindOf(r))
		if r.Endpoint.Addr().Is4() != (i < len(udp)+len(tcp)) {
			t.Errorf("route %d is %v", i, r.Endpoint)
		}
	}
	want := []enroll.Kind{{Port: 51821}, {Port: 53}, {Port: 443, TLS: true}, {Port: 80}, {Port: 1194, TLS: true}, {Port: 443}, {Port: 1194}}
	if want = append(want, want...); !reflect.DeepEqual(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
}

// TestRefused goes through what can be wrong, and what it means for the next
// try.
func TestRefused(t *testing.T) {
	a, stranger := vpntest.NewAuthority(t), vpntest.NewAuthority(t)
	good := a.Client(t, time.Hour)
	for name, tt := range map[string]struct {
		setup func(*vpntest.State)
		tls   func(*tls.Config)
		pem   []byte
		fault machine.Fault
		text  string
	}{
		"full":           {setup: refuse(problem.Unavailable.Errorf("the pool is empty")), fault: machine.Unwilling, text: "the pool is empty"},
		"too many":       {setup: refuse(problem.Exist.Errorf("three")), fault: machine.Unwilling, text: "too many computers"},
		"slow down":      {setup: refuse(problem.Limit.Errorf("later")), fault: machine.Unwilling, text: "later"},
		"plan":           {setup: refuse(problem.Permission.Errorf("no plan")), fault: machine.Forbidden, text: "no plan"},
		"broken":         {setup: func(s *vpntest.State) { s.Spoil = func(l *lease.Lease) { l.MTU = 9 } }, fault: machine.Unwilling, text: "malformed"},
		"says classical": {setup: func(s *vpntest.State) { s.Spoil = func(l *lease.Lease) { l.PQ = false } }, fault: machine.Unwilling, text: "post-quantum"},
		"classical":      {tls: func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }, fault: machine.Unwilling, text: "--allow-classical"},
		"TLS 1.2":        {tls: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, fault: machine.Unwilling, text: "TLS 1.3"},
		"other server":   {tls: func(c *tls.Config) { c.Certificates[0] = stranger.Server(t, "gw1.example.org") }, fault: machine.Unreachable, text: "not the provider's gateway"},
		"other name":     {tls: func(c *tls.Config) { c.Certificates[0] = a.Server(t, "gw2.example.org") }, fault: machine.Unreachable, text: "not the provider's gateway"},
		"other client":   {pem: stranger.Client(t, time.Hour), fault: machine.Forbidden, text: "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			g := vpntest.NewGateway(t, a, "gw1.example.org", tt.tls)
			if tt.setup != nil {
				g.Set(tt.setup)
			}
			pem := good
			if tt.pem != nil {
				pem = tt.pem
			}
			_, err := client(t, a, pem, false).Lease(t.Context(), g.Machine())
			e, ok := errors.AsType[*enroll.Error](err)
			if !ok || e.Fault != tt.fault || !strings.Contains(e.Text, tt.text) {
				t.Errorf("got %v, %+v", err, e)
			}
			if err != nil && strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("the error tells an address: %v", err)
			}
		})
	}
}

func refuse(err error) func(*vpntest.State) {
	return func(s *vpntest.State) { s.Refuse["POST"] = err }
}

func TestClassicalAllowed(t *testing.T) {
	a := vpntest.NewAuthority(t)
	g := vpntest.NewGateway(t, a, "gw1.example.org", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} })
	grant, err := client(t, a, a.Client(t, time.Hour), true).Lease(t.Context(), g.Machine())
	if err != nil || grant.Lease.PQ {
		t.Errorf("%+v, %v", grant.Lease.PQ, err)
	}
}

func TestUnreachable(t *testing.T) {
	a := vpntest.NewAuthority(t)
	g := vpntest.NewGateway(t, a, "gw1.example.org", nil)
	g.Stop()
	_, err := client(t, a, a.Client(t, time.Hour), false).Lease(t.Context(), g.Machine())
	if e, ok := errors.AsType[*enroll.Error](err); !ok || e.Fault != machine.Unreachable || !errors.Is(err, problem.Unavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := enroll.New(enroll.Config{CA: []byte("none")}, tls.Certificate{}); !errors.Is(err, problem.Invalid) {
		t.Errorf("a malformed CA: %v", err)
	}
}
