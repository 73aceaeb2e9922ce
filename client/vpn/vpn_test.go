package vpn_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/client/control"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

func TestUpAndDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	if s := w.status(); s.State != control.VPNDisconnected || s.Traffic != "open" || s.Use != "auto" {
		t.Errorf("at first %+v", s)
	}
	w.up()
	s := w.connected(1)
	if s.Traffic != "tunnel" || !s.PostQuantum || s.Plan != "unlimited" || s.Location != "Amsterdam" || s.Country != "NL" ||
		s.Transport != "udp" || s.IPv6 || s.Path != control.VPNPathHelper || s.LeaseEnds == nil || s.Problem != "" {
		t.Errorf("connected: %+v", s)
	}
	if got := w.asked(1); got != "POST" {
		t.Errorf("the gateway was asked %q", got)
	}
	if err := w.v.VPNDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.status(); s.State != control.VPNDisconnected || s.Traffic != "open" || s.Gateway != "" {
		t.Errorf("down: %+v", s)
	}
	if got := w.path.modes(); got != "blocked tunnel open" {
		t.Errorf("traffic was %s", got)
	}
	for _, name := range []string{"vpn.json", "vpn-leases.json", "vpn-gateways.json", "vpn-cert.pem"} {
		if info, err := os.Stat(filepath.Join(w.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestWarm: after a restart the kept lease is used, with nobody asked.
func TestWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.up()
	w.connected(1)
	w.asked(1)
	w.provider.Offline()
	w.start() // By itself: nobody has said "down".
	w.connected(1)
	if got := w.asked(1) + w.asked(2); got != "" {
		t.Errorf("gateways were asked %q", got)
	}
}

// TestNetworkChanges: a handshake comes just before the network is seen to have
// changed. It counts all the same, as WireGuard makes no other one for minutes.
func TestNetworkChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var first atomic.Pointer[time.Time]
	w.network = func() string { // Is called every 5 s.
		now := time.Now()
		if first.CompareAndSwap(nil, &now) {
			return "home"
		}
		return "a train"
	}
	w.path.set(func(p *paper) {
		p.once = func() (shaken time.Time) {
			if f := first.Load(); f != nil && time.Since(*f) >= 5*time.Second-time.Millisecond {
				shaken = f.Add(5*time.Second - time.Millisecond)
			}
			return shaken
		}
	})
	w.up()
	w.connected(1)
	if got := w.asked(1); got != "POST" {
		t.Errorf("the gateway was asked %q", got)
	}
}

// TestGatewayDies: the tunnel falls silent, the lease port is closed: the next
// gateway is used within seconds, and nothing leaves meanwhile. The log tells
// nobody's secrets.
func TestGatewayDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.up()
	w.connected(1)
	begin := time.Now()
	w.gateways[0].Stop()
	w.connected(2)
	if d := time.Since(begin); d > 12*time.Second {
		t.Errorf("it took %v", d)
	}
	if got := w.path.modes(); got != "blocked tunnel" {
		t.Errorf("traffic was %s", got)
	}
	w.asked(2)
	if err := w.v.VPNDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.connected(2) // The one that was used last.
	if got := w.asked(2); got != "" {
		t.Errorf("the gateway was asked %q", got)
	}
	w.stop()
	w.path.set(func(p *paper) {
		if p.now.Mode != policy.Tunnel {
			t.Errorf("the end of the daemon changed the policy: %v", p.now.Mode)
		}
	})
	text := w.log.String()
	for _, canary := range []string{"gw1", "gw2", "127.0.0.1", "10.64.", "PRIVATE", "51820"} {
		if strings.Contains(text, canary) {
			t.Errorf("%q is in the log:\n%s", canary, text)
		}
	}
}

// TestLeaseForgotten: a gateway that lost its memory gives a new lease.
func TestLeaseForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.up()
	w.connected(1)
	w.stop()
	w.gateways[0].Set(func(s *vpntest.State) { s.Leases, s.Mute, s.Asked = map[lease.ID]bool{}, true, nil })
	w.path.set(func(p *paper) { p.now = policy.Policy{} }) // The computer was started anew, too.
	w.start()
	w.until("is a new lease asked for", func(control.VPNStatus) bool {
		var asked string
		w.gateways[0].Set(func(s *vpntest.State) { asked = strings.Join(s.Asked, " ") })
		if strings.HasSuffix(asked, "POST") {
			w.gateways[0].Set(func(s *vpntest.State) { s.Mute = false })
			return true
		}
		return false
	})
	w.connected(1)
}

func TestUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	if err := w.v.VPNUse(t.Context(), control.VPNChoice{Use: "atlantis"}); !errors.Is(err, problem.NotExist) || !strings.Contains(err.Error(), "leapc vpn gateways") {
		t.Errorf("a place that is not there: %v", err)
	}
	if err := w.v.VPNUse(t.Context(), control.VPNChoice{Use: "us"}); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.connected(2)
	if err := w.v.VPNUse(t.Context(), control.VPNChoice{Use: "GW1.example.org"}); err != nil {
		t.Fatal(err)
	}
	w.connected(1)
	if got := w.path.modes(); got != "blocked tunnel" {
		t.Errorf("traffic was %s", got)
	}
	g, err := w.v.VPNGateways(t.Context(), control.VPNGatewaysRequest{Measure: true})
	if err != nil || len(g.Gateways) != 2 {
		t.Fatalf("%+v, %v", g, err)
	}
	for _, one := range g.Gateways {
		if one.Current != (one.Host == "gw1.example.org") || one.Current && one.LatencyMS == nil {
			t.Errorf("%+v", one)
		}
	}
	if err := w.v.VPNUse(t.Context(), control.VPNChoice{Use: "auto"}); err != nil || w.status().Use != "auto" {
		t.Errorf("auto: %v, %+v", err, w.status())
	}
}

// TestCertificates: fetched as a user where that is wanted, again when a
// gateway refuses it, and imported.
func TestCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.provider.Set(func(o *vpntest.Offer) { o.Anonymous, o.Token = false, "second" })
	if err := w.session.Refresh(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.up()
	s := w.until("blocked", func(s control.VPNStatus) bool { return s.State == control.VPNBlocked })
	if !strings.Contains(s.Problem, "the account is locked") || s.Traffic != "blocked" || s.NextTry == nil {
		t.Errorf("without a certificate: %+v", s)
	}
	w.tokens = []string{"first", "second"}
	w.up() // Now.
	w.connected(1)
	if err := w.v.VPNDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	stranger := vpntest.NewAuthority(t).Client(t, 72*time.Hour)
	if err := w.v.VPNImport(t.Context(), control.VPNCertificate{PEM: string(stranger)}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.dir, "vpn-leases.json")); err != nil {
		t.Fatal(err)
	}
	w.up()
	w.connected(1)
	if err := w.v.VPNImport(t.Context(), control.VPNCertificate{PEM: "none"}); !errors.Is(err, problem.Invalid) {
		t.Errorf("imported: %v", err)
	}
	over := w.provider.Client(t, -72*time.Hour)
	if err := w.v.VPNImport(t.Context(), control.VPNCertificate{PEM: string(over)}); !errors.Is(err, problem.Invalid) {
		t.Errorf("imported one that is over: %v", err)
	}
}

func TestLockdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	yes, no := true, false
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Lockdown: &yes}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(); !s.Lockdown || s.Traffic != "blocked" {
		t.Errorf("lockdown: %+v", s)
	}
	if w.path.boot == nil || !*w.path.boot {
		t.Error("the start of the computer is not guarded")
	}
	w.start()
	w.until("blocked after a start", func(s control.VPNStatus) bool { return s.Traffic == "blocked" && s.Lockdown })
	if err := w.v.VPNUp(t.Context(), control.VPNUpRequest{Proxy: "127.0.0.1:0"}); !errors.Is(err, problem.Invalid) {
		t.Errorf("by a proxy: %v", err)
	}
	if err := w.v.VPNPortal(t.Context(), control.VPNPortal{UID: 1000, Seconds: 60}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(); s.PortalUntil == nil {
		t.Errorf("portal: %+v", s)
	}
	if err := w.v.VPNPortal(t.Context(), control.VPNPortal{}); err != nil || w.status().PortalUntil != nil {
		t.Errorf("the portal does not close: %v", err)
	}
	w.up()
	w.connected(1)
	if err := w.v.VPNDown(t.Context()); err != nil || w.status().Traffic != "blocked" {
		t.Errorf("down: %v, %+v", err, w.status())
	}
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Lockdown: &no}); err != nil || w.status().Traffic != "open" || *w.path.boot {
		t.Errorf("lockdown off: %v, %+v", err, w.status())
	}
	if err := w.v.VPNPortal(t.Context(), control.VPNPortal{UID: 1000, Seconds: 60}); !errors.Is(err, problem.Invalid) {
		t.Errorf("a portal window in open traffic: %v", err)
	}
}

func TestAutoconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	yes := true
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Autoconnect: &yes, LAN: &yes, Exclude: &[]uint32{1001}}); err != nil {
		t.Fatal(err)
	}
	w.start()
	s := w.connected(1)
	if !s.Autoconnect || !s.LAN || len(s.Exclude) != 1 {
		t.Errorf("%+v", s)
	}
	w.path.set(func(p *paper) {
		if !p.now.LAN || len(p.now.Exclude) != 1 {
			t.Errorf("the policy is %+v", p.now)
		}
	})
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Exclude: &[]uint32{0}}); !errors.Is(err, problem.Invalid) {
		t.Errorf("root outside: %v", err)
	}
}

// TestStart: the helper guards the start of the computer as long as it is to.
func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	yes, no := true, false
	check := func(when string, want bool, err error) {
		t.Helper()
		w.path.set(func(p *paper) {
			if err != nil || p.boot == nil || *p.boot != want {
				t.Errorf("%s: %v, want %v: %v", when, p.boot, want, err)
			}
		})
		if err := w.v.VPNDown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	set := func(on *bool) error { return w.v.VPNSet(t.Context(), control.VPNSettings{Autoconnect: on}) }
	check("autoconnect", true, set(&yes))
	check("by a proxy", false, w.v.VPNUp(t.Context(), control.VPNUpRequest{Proxy: "127.0.0.1:0"}))
	check("by the helper", true, w.v.VPNUp(t.Context(), control.VPNUpRequest{}))
	check("by a proxy again", false, w.v.VPNUp(t.Context(), control.VPNUpRequest{Proxy: "127.0.0.1:0"}))
	w.path.set(func(p *paper) { p.boot = &yes }) // Of a former release.
	check("no autoconnect, by a proxy", false, set(&no))
	check("autoconnect by a proxy", false, set(&yes))
}

// TestNoProvider: "vpn up" is not connected, as its help says of the exit status.
func TestNoProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.stop()
	w.session = nil
	w.start()
	if err := w.v.VPNUp(t.Context(), control.VPNUpRequest{}); !errors.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "no provider yet") {
		t.Errorf("up: %v", err)
	}
}

func TestNoHelper(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.missing.Store(true)
	err := w.v.VPNUp(t.Context(), control.VPNUpRequest{})
	if !errors.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "vpn-helper install") || !strings.Contains(err.Error(), "--proxy") {
		t.Errorf("up: %v", err)
	}
	yes := true
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Lockdown: &yes}); !errors.Is(err, problem.Unavailable) || w.status().Lockdown {
		t.Errorf("lockdown: %v", err)
	}
	for proxy, want := range map[string]error{"x": problem.Invalid, "192.0.2.1:1080": problem.Invalid} {
		if err := w.v.VPNUp(t.Context(), control.VPNUpRequest{Proxy: proxy}); !errors.Is(err, want) {
			t.Errorf("proxy %s: %v", proxy, err)
		}
	}
}

// TestUnapplied: traffic that cannot be switched is not said to be.
func TestUnapplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.path.set(func(p *paper) { p.broken = errors.New("no netlink") })
	w.up()
	s := w.until("says what is wrong", func(s control.VPNStatus) bool { return s.Problem != "" })
	if !strings.Contains(s.Problem, "no netlink") || s.State == control.VPNConnected {
		t.Errorf("%+v", s)
	}
	w.path.set(func(p *paper) { p.broken = nil })
	w.connected(1)
	w.path.set(func(p *paper) { p.broken = errors.New("no netlink") })
	if err := w.v.VPNDown(t.Context()); err == nil || !strings.Contains(err.Error(), "still blocked") {
		t.Errorf("down: %v", err)
	}
	w.path.set(func(p *paper) { p.broken = nil })
	w.until("open", func(s control.VPNStatus) bool { return s.Traffic == "open" })
}

// TestHelperComesLater: after the start of the computer the daemon may be
// faster than the helper.
func TestHelperComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.up()
	w.connected(1)
	w.missing.Store(true)
	w.start()
	s := w.until("says what is missing", func(s control.VPNStatus) bool { return s.Problem != "" })
	if !strings.Contains(s.Problem, "vpn-helper install") {
		t.Errorf("%+v", s)
	}
	w.missing.Store(false)
	if s := w.connected(1); s.Problem != "" {
		t.Errorf("connected: %+v", s)
	}
}

// TestHelperForgets: a helper that was started anew knows no tunnel, until it
// is told again.
func TestHelperForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.up()
	w.connected(1)
	w.path.set(func(p *paper) { p.now, p.seen, p.epoch = policy.Policy{}, nil, 2 })
	w.until("told again", func(control.VPNStatus) bool { return w.path.modes() == "tunnel" })
	w.connected(1)
	yes := true
	if err := errors.Join(w.v.VPNSet(t.Context(), control.VPNSettings{Lockdown: &yes, LAN: &yes}), w.v.VPNDown(t.Context())); err != nil {
		t.Fatal(err)
	}
	w.path.set(func(p *paper) { p.now, p.seen, p.epoch = policy.Policy{}, nil, 3 })
	w.until("told again in lockdown", func(control.VPNStatus) bool { return w.path.modes() == "blocked" })
}

// TestAdopt: what a daemon before this one left in force is told, stays, and
// ends with "down".
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.stop()
	for _, setting := range []string{`{"version":1}`, `{"version":1,"proxy":"127.0.0.1:1"}`} {
		if err := os.WriteFile(filepath.Join(w.dir, "vpn.json"), []byte(setting), 0o600); err != nil {
			t.Fatal(err)
		}
		w.path.set(func(p *paper) { p.now, p.seen = policy.Policy{LAN: true}, nil })
		w.start()
		s := w.until("says that traffic is blocked", func(s control.VPNStatus) bool { return s.Traffic == "blocked" })
		if !strings.Contains(s.Problem, "leapc vpn down") || s.State != control.VPNDisconnected || w.path.modes() != "" {
			t.Errorf("%+v, with %s applied", s, w.path.modes())
		}
		if err := w.v.VPNDown(t.Context()); err != nil || w.path.modes() != "open" {
			t.Errorf("traffic was %s: %v", w.path.modes(), err)
		}
		if s := w.status(); s.Traffic != "open" || s.Problem != "" {
			t.Errorf("down: %+v", s)
		}
	}
}

// TestUnknown: traffic that is not known to be open is not said to be.
func TestUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	yes := true
	if err := w.v.VPNSet(t.Context(), control.VPNSettings{Lockdown: &yes}); err != nil {
		t.Fatal(err)
	}
	w.missing.Store(true)
	w.start()
	w.until("says what is missing", func(s control.VPNStatus) bool {
		if s.Problem != "" && s.Traffic == "open" {
			t.Errorf("%+v", s)
		}
		return s.Traffic == "unknown" && strings.Contains(s.Problem, "vpn-helper install")
	})
	w.missing.Store(false)
	if s := w.until("blocked", func(s control.VPNStatus) bool { return s.Traffic == "blocked" }); s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// TestDownAfterLoss: "down" opens the traffic even if this daemon never knew
// that it was blocked.
func TestDownAfterLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.path.set(func(p *paper) { p.now = policy.Policy{} })
	if err := w.v.VPNDown(t.Context()); err != nil || w.path.modes() != "open" {
		t.Errorf("traffic was %s: %v", w.path.modes(), err)
	}
}

// TestDamagedSettings: they may have said lockdown.
func TestDamagedSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.stop()
	if err := os.WriteFile(filepath.Join(w.dir, "vpn.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	s := w.until("blocked", func(s control.VPNStatus) bool { return s.Traffic == "blocked" })
	if !s.Lockdown || !strings.Contains(s.Problem, "damaged: remove it") {
		t.Errorf("%+v", s)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c, err := w.v.VPNExport(t.Context(), control.VPNChoice{})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"[Interface]", "PrivateKey = ", "Address = 10.64.3.9/32", "DNS = 10.64.0.1", "MTU = 1280", "[Peer]", "PresharedKey = ",
		"AllowedIPs = 0.0.0.0/0, ::/0", "Endpoint = 127.0.0.1:51820", "until ",
	} {
		if !strings.Contains(c.Config, line) {
			t.Errorf("no %q in\n%s", line, c.Config)
		}
	}
	w.up()
	w.connected(1)
	if again, err := w.v.VPNExport(t.Context(), control.VPNChoice{Use: "auto"}); err != nil || again.Config == c.Config {
		t.Errorf("a second one: %v", err)
	}
}
