package gateway_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// TestThreeLeases: a certificate has three at once.
func TestThreeLeases(t *testing.T) {
	w := newWorld(t, newFake().plane(), nil)
	w.run(t)
	one, two := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited))), w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	var held []lease.Lease
	for range 3 {
		held = append(held, w.must(t, one, "POST", lease.PathLease, request()))
	}
	if _, err := w.rent(t, one, "POST", lease.PathLease, request()); !errors.Is(err, problem.Exist) {
		t.Errorf("the fourth: %v", err)
	}
	other := request()
	l := w.must(t, two, "POST", lease.PathLease, other)
	if _, err := w.rent(t, one, "PUT", l.LeaseID.Path(), other); !errors.Is(err, problem.Exist) {
		t.Errorf("a fourth by renewal: %v", err)
	}
	if _, err := w.rent(t, one, "PUT", held[0].LeaseID.Path(), other); !errors.Is(err, problem.Exist) {
		t.Errorf("another's key by renewal: %v", err)
	}
	if _, err := w.call(t, one, "DELETE", held[0].LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rent(t, one, "POST", lease.PathLease, other); !errors.Is(err, problem.Exist) {
		t.Errorf("another's key: %v", err)
	}
	w.must(t, one, "POST", lease.PathLease, request())
}

// TestPool: five places, a sixth client, and an address that comes again only
// after the quarantine.
func TestPool(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) {
		c.IPv4, c.Leases = netip.MustParsePrefix("10.64.0.0/29"), 100
	})
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	seen := map[netip.Prefix]lease.Lease{}
	for range 5 {
		l := w.must(t, c, "POST", lease.PathLease, request())
		seen[l.Addresses[0]] = l
	}
	if len(seen) != 5 || seen[netip.MustParsePrefix("10.64.0.1/32")].MTU != 0 || seen[netip.MustParsePrefix("10.64.0.7/32")].MTU != 0 {
		t.Errorf("places: %v", len(seen))
	}
	body, err := w.call(t, c, "GET", lease.PathStatus, nil)
	if s, e := lease.ParseStatus(body); err != nil || e != nil || s.Load != lease.MaxLoad {
		t.Errorf("status when full: %+v, %v, %v", s, err, e)
	}
	other := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	full := func(what string) {
		t.Helper()
		if _, err := w.rent(t, other, "POST", lease.PathLease, request()); !errors.Is(err, problem.Unavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	full("the sixth")
	place := netip.MustParsePrefix("10.64.0.4/32")
	if _, err := w.call(t, c, "DELETE", seen[place].LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	full("right after the end")
	again := w.must(t, c, "POST", lease.PathLease, request()) // It was its own.
	if again.Addresses[0] != place {
		t.Errorf("its own place was %v, it gets %v", place, again.Addresses[0])
	}
	if _, err := w.call(t, c, "DELETE", again.LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	w.pass(9*time.Minute + 50*time.Second)
	full("in quarantine")
	w.stop()
	w.run(t)
	full("in quarantine, after a restart")
	if err := w.server.Compare(t.Context()); err != nil { // Its flows are forgotten again.
		t.Fatal(err)
	}
	w.pass(20 * time.Second)
	if l := w.must(t, other, "POST", lease.PathLease, request()); l.Addresses[0] != place {
		t.Errorf("got %v, want %v", l.Addresses[0], place)
	}
}

// TestLoad: it is told by what the gateway bears, and by the places that it can
// give, whichever is worse.
func TestLoad(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(*gateway.Config)
		full, ended int // Load with four leases, and after their end.
	}{
		"capacity": {func(c *gateway.Config) { c.Capacity = 4 }, 7, 0},
		"half":     {func(c *gateway.Config) { c.Capacity = 8 }, 4, 0},
		"preset":   {func(*gateway.Config) {}, 0, 0},
		"pool":     {func(c *gateway.Config) { c.IPv4 = netip.MustParsePrefix("10.64.0.0/29") }, 6, 6}, // Four of five rest.
	} {
		w := newWorld(t, newFake().plane(), func(cfg *gateway.Config) { cfg.Leases = 4; c.change(cfg) })
		w.run(t)
		client := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
		load := func(when string, want int) {
			t.Helper()
			body, err := w.call(t, client, "GET", lease.PathStatus, nil)
			if s, e := lease.ParseStatus(body); err != nil || e != nil || s.Load != want {
				t.Errorf("%s, %s: load %d, want %d; %v, %v", name, when, s.Load, want, err, e)
			}
		}
		var held []lease.Lease
		for range 4 {
			held = append(held, w.must(t, client, "POST", lease.PathLease, request()))
		}
		load("full", c.full)
		for _, l := range held {
			if _, err := w.call(t, client, "DELETE", l.LeaseID.Path(), nil); err != nil {
				t.Fatal(err)
			}
		}
		load("ended", c.ended)
	}
}

// TestExpiry: at the end of a lease the peer goes, then its flows.
func TestExpiry(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), func(c *gateway.Config) { c.Life = "1h" })
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Limited)))
	r := request()
	l := w.must(t, c, "POST", lease.PathLease, r)
	late := w.must(t, w.client(t, w.tls(w.clients.vpn(t, lease.Limited))), "POST", lease.PathLease, request())
	w.pass(30 * time.Minute)
	w.must(t, c, "PUT", late.LeaseID.Path(), request())
	f.do(func() { f.calls = nil })
	w.pass(30 * time.Minute)
	begun := time.Now()
	eventually(t, "the peer is gone", func() bool { return !slices.Contains(f.keys(), r.WGPublicKey) })
	if d := time.Since(begun); d > 2*time.Second {
		t.Errorf("gone after %v", d)
	}
	eventually(t, "the flows are forgotten", func() (ok bool) {
		f.do(func() { ok = len(f.calls) >= 3 && len(f.limited) == 2 })
		return ok
	})
	f.do(func() {
		want := []string{"remove", "forget " + l.Addresses[0].Addr().String(), "forget " + l.Addresses[1].Addr().String()}
		if !slices.Equal(f.calls, want) || len(f.peers) != 1 {
			t.Errorf("calls %v, want %v; %d peers", f.calls, want, len(f.peers))
		}
	})
}

// TestLimited: what a lease changes of the limited addresses is told, not all of
// them.
func TestLimited(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	limited := w.client(t, w.tls(w.clients.vpn(t, lease.Limited)))
	free := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	f.do(func() { f.whole = -10 })
	want := func(what string, n int) {
		t.Helper()
		f.do(func() {
			if len(f.limited) != n || f.whole > -9 { // The comparison of every 15 s may come.
				t.Errorf("%s: %d limited addresses, want %d; %d times all were told", what, len(f.limited), n, f.whole+10)
			}
		})
	}
	r := request()
	l := w.must(t, limited, "POST", lease.PathLease, r)
	other := w.must(t, limited, "POST", lease.PathLease, request())
	w.must(t, free, "POST", lease.PathLease, request())
	want("two of three", 4)
	r.Want.IPv6 = false
	w.must(t, limited, "PUT", l.LeaseID.Path(), r)
	want("without IPv6", 3)
	w.must(t, free, "PUT", l.LeaseID.Path(), r)
	want("another plan", 2)
	if _, err := w.call(t, limited, "DELETE", other.LeaseID.Path(), nil); err != nil {
		t.Fatal(err)
	}
	want("ended", 0)
}

// TestForgetLater: nobody waits for the flows of those who go, and these are
// forgotten together.
func TestForgetLater(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	slow := make(chan struct{})
	f.do(func() { f.slow = slow; f.calls = nil })
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	for range 3 { // Its own place comes again: it is one.
		r := request()
		l := w.must(t, c, "POST", lease.PathLease, r)
		if _, err := w.call(t, c, "DELETE", l.LeaseID.Path(), nil); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(f.keys(), r.WGPublicKey) {
			t.Error("the peer is there after the end of its lease")
		}
	}
	forgotten := func() (n int) {
		f.do(func() {
			for _, call := range f.calls {
				if strings.HasPrefix(call, "forget") {
					n++
				}
			}
		})
		return n
	}
	if n := forgotten(); n != 0 {
		t.Errorf("%d addresses are forgotten where that takes its time", n)
	}
	f.do(func() { f.slow = nil })
	close(slow)
	eventually(t, "the flows are forgotten", func() bool { return forgotten() >= 2 })
}

// TestEndsWithCertificate: no lease outlives the certificate.
func TestEndsWithCertificate(t *testing.T) {
	w := newWorld(t, newFake().plane(), nil)
	w.run(t)
	cert := w.clients.vpn(t, lease.Unlimited)
	c := w.client(t, w.tls(cert))
	w.pass(time.Until(cert.Leaf.NotAfter) - time.Hour)
	if l := w.must(t, c, "POST", lease.PathLease, request()); !l.NotAfter.Equal(cert.Leaf.NotAfter) {
		t.Errorf("ends %v, the certificate %v", l.NotAfter, cert.Leaf.NotAfter)
	}
}

// TestRestart: a new process has the peers of the old one, its counts, and
// nothing that ended meanwhile.
func TestRestart(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), func(c *gateway.Config) { c.Life = "1h" })
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Limited)))
	r := request()
	var l lease.Lease
	for range 3 {
		r = request()
		l = w.must(t, c, "POST", lease.PathLease, r)
	}
	w.stop()
	stray := gateway.Peer{PublicKey: request().WGPublicKey}
	f.do(func() { f.peers = map[lease.Key]gateway.Peer{stray.PublicKey: stray}; f.limited = nil })
	w.run(t)
	f.do(func() {
		p := f.peers[r.WGPublicKey]
		if _, there := f.peers[stray.PublicKey]; there || len(f.peers) != 3 || p.PSK != l.PSK || !slices.Equal(p.Addresses, l.Addresses) || len(f.limited) != 6 {
			t.Errorf("%d peers, %d limited, stray %v", len(f.peers), len(f.limited), there)
		}
	})
	if _, err := w.rent(t, c, "POST", lease.PathLease, request()); !errors.Is(err, problem.Exist) {
		t.Errorf("a fourth lease after a restart: %v", err)
	}
	w.must(t, c, "PUT", l.LeaseID.Path(), r)
	w.stop()
	w.pass(2 * time.Hour)
	w.run(t)
	if n := len(f.keys()); n != 0 {
		t.Errorf("%d peers after their end", n)
	}
}

// TestIdle: a peer whose session is over is forgotten and set again; one that
// the data plane lost is set again.
func TestIdle(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	idle, busy, lost := request(), request(), request()
	for _, r := range []lease.Request{idle, busy, lost} {
		w.must(t, c, "POST", lease.PathLease, r)
	}
	f.do(func() {
		f.shook[idle.WGPublicKey], f.shook[busy.WGPublicKey] = time.Now().Add(-181*time.Second), time.Now().Add(-170*time.Second)
		delete(f.peers, lost.WGPublicKey)
		f.calls = nil
	})
	if err := w.server.Compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.do(func() {
		_, known := f.shook[idle.WGPublicKey]
		if len(f.peers) != 3 || known || f.shook[busy.WGPublicKey].IsZero() || !slices.Equal(f.calls, []string{"remove"}) {
			t.Errorf("%d peers, idle one known %v, calls %v", len(f.peers), known, f.calls)
		}
	})
}

// TestPlaneAway: what the data plane cannot do is not promised, and is made up
// for when it is back.
func TestPlaneAway(t *testing.T) {
	f := newFake()
	w := newWorld(t, f.plane(), nil)
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Limited)))
	r := request()
	l := w.must(t, c, "POST", lease.PathLease, r)
	f.do(func() { f.fail = errors.New("away"); f.peers = map[lease.Key]gateway.Peer{} })
	_, errGrant := w.rent(t, c, "POST", lease.PathLease, request())
	_, errRenew := w.rent(t, c, "PUT", l.LeaseID.Path(), request())
	for what, err := range map[string]error{"grant": errGrant, "renew": errRenew} {
		if !errors.Is(err, problem.Unavailable) || strings.Contains(err.Error(), "away") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.server.Check(t.Context()); err == nil {
		t.Error("healthy without a data plane")
	}
	f.do(func() { f.fail = nil })
	if err := w.server.Compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := f.keys(); !slices.Equal(keys, []lease.Key{r.WGPublicKey}) {
		t.Errorf("%d peers", len(keys))
	}
	f.do(func() {
		if f.peers[r.WGPublicKey].PSK != l.PSK {
			t.Error("not the PSK that the client has")
		}
	})
}

// TestTooFast: a network that asks too often waits.
func TestTooFast(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) { c.Requests = 30 })
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	var refused error
	for range 50 {
		if _, err := w.call(t, c, "GET", lease.PathStatus, nil); err != nil {
			refused = err
			break
		}
	}
	if !errors.Is(refused, problem.Limit) {
		t.Errorf("after 50 requests: %v", refused)
	}
}

// TestGate: what is more than the gateway takes is closed before it costs a
// handshake, and a place that is left is free again.
func TestGate(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) { c.Connections, c.Requests = 1, 60 })
	w.run(t)
	conf := w.tls(w.clients.vpn(t, lease.Unlimited))
	first, err := tls.Dial("tcp", w.addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := tls.Dial("tcp", w.addr, conf); err == nil {
		conn.Close()
		t.Error("two connections where one is allowed")
	}
	first.Close()
	eventually(t, "the place is free", func() bool {
		conn, err := tls.Dial("tcp", w.addr, conf)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	for range 40 { // Four times the requests of a window.
		if conn, err := net.Dial("tcp", w.addr); err == nil {
			conn.Close()
		}
	}
	if conn, err := tls.Dial("tcp", w.addr, conf); err == nil {
		conn.Close()
		t.Error("a network that connects all the time is still served")
	}
}

// TestConfig: what is missing or wrong is said.
func TestConfig(t *testing.T) {
	w := newWorld(t, newFake().plane(), nil)
	for name, spoil := range map[string]func(*gateway.Config){
		"listen":   func(c *gateway.Config) { c.Listen = nil },
		"run_dir":  func(c *gateway.Config) { c.RunDir = "" },
		"entry":    func(c *gateway.Config) { c.Entry[0].Ports = []uint16{0} },
		"ipv4":     func(c *gateway.Config) { c.IPv4 = netip.MustParsePrefix("10.64.0.1/24") },
		"ipv6":     func(c *gateway.Config) { c.IPv6 = netip.MustParsePrefix("10.64.0.0/24") },
		"mtu":      func(c *gateway.Config) { c.MTU = 1000 },
		"life":     func(c *gateway.Config) { c.Life = "25h" },
		"wg_list":  func(c *gateway.Config) { c.WGListen = []string{"x"} },
		"lab":      func(c *gateway.Config) { c.Lab = []gateway.ConfigLab{{As: c.IPv4, Is: c.IPv6}} },
		"negative": func(c *gateway.Config) { c.Leases = -1 },
	} {
		cfg := w.cfg
		cfg.Entry = slices.Clone(cfg.Entry)
		spoil(&cfg)
		if _, err := gateway.New(cfg, w.plane, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestRun: it serves all its ports, or says which one it cannot have.
func TestRun(t *testing.T) {
	w := newWorld(t, newFake().plane(), func(c *gateway.Config) {
		first, err := net.Listen("tcp", "127.0.0.31:0")
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		c.Listen = []string{first.Addr().String(), "127.0.0.31:0"}
	})
	log := slog.New(slog.DiscardHandler)
	s, err := gateway.New(w.cfg, w.plane, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	w.addr = w.cfg.Listen[0]
	eventually(t, "it listens", func() bool {
		conn, err := tls.Dial("tcp", w.addr, w.tls(w.clients.vpn(t, lease.Limited)))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	second, err := gateway.New(w.cfg, w.plane, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(ctx); err == nil || !strings.Contains(err.Error(), w.addr) {
		t.Errorf("on a port that is taken: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestMethods: what is not served is not there.
func TestMethods(t *testing.T) {
	w := newWorld(t, newFake().plane(), nil)
	w.run(t)
	c := w.client(t, w.tls(w.clients.vpn(t, lease.Unlimited)))
	for _, path := range []string{"/", lease.PathLease, "/debug/pprof/", "/vpn/v1/leases"} {
		resp, err := c.Get(fmt.Sprintf("https://%s%s", w.addr, path))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, resp.StatusCode)
		}
	}
}
