package leaks_test

import (
	"context"
	"crypto"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/daemon"
	"leap.example/services/gateway"
	"leap.example/services/gateway/netstack"
	"leap.example/services/protocol/certs"
)

// leasing is the provider's real gateway, with its data plane without root, and
// who lets clients in.
type leasing struct {
	*vpntest.Authority
	w *world
}

const (
	leasePort  = 443
	leaseName  = "gw.example.org"
	leaseUDP   = 51830
	gatewayOut = "192.0.2.1" // From where its clients' connections come.
)

// startLeasing runs the gateway beside those that the test has made.
func (w *world) startLeasing() *leasing {
	w.Helper()
	l := &leasing{vpntest.NewAuthority(w), w}
	server := l.Server(w, leaseName)
	keyPEM, err := certs.EncodeKey(server.PrivateKey.(crypto.Signer))
	w.must(err)
	wg, err := newKey().MarshalText()
	w.must(err)
	dir := filepath.Join(w.dir, "gateway")
	w.must(os.MkdirAll(filepath.Join(dir, "run"), 0o700))
	for name, data := range map[string][]byte{
		"ca.crt": l.PEM, "gw.key": keyPEM, "gw.crt": certs.EncodeCert(server.Leaf.Raw), "wg.key": wg,
	} {
		w.must(os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	w.start(w.gateway, w.role("leasing", gateway.Config{
		Listen:   []string{netip.AddrPortFrom(netip.MustParseAddr(gatewayOut), leasePort).String()},
		CertFile: filepath.Join(dir, "gw.crt"), KeyFile: filepath.Join(dir, "gw.key"), ClientCAFile: filepath.Join(dir, "ca.crt"),
		WGKeyFile: filepath.Join(dir, "wg.key"), RunDir: filepath.Join(dir, "run"),
		Entry:    []gateway.ConfigEntry{{Addr: netip.MustParseAddr(gatewayOut), Ports: []uint16{leaseUDP}, TLSPorts: []uint16{leasePort}}},
		WGListen: []string{netip.AddrPortFrom(netip.MustParseAddr(gatewayOut), leaseUDP).String()},
		IPv4:     netip.MustParsePrefix("10.66.0.0/24"), IPv6: netip.MustParsePrefix("fd00:66::/64"),
		Lab: []gateway.ConfigLab{{As: netip.MustParsePrefix("203.0.113.0/24"), Is: netip.MustParsePrefix("203.0.113.0/24")}},
	}))
	return l
}

// leasingRole is the gateway's process.
func leasingRole() error {
	var cfg gateway.Config
	if err := json.Unmarshal([]byte(os.Getenv("LEAKS_ABOUT")), &cfg); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	plane, err := netstack.New(cfg)
	if err != nil {
		return err
	}
	server, err := gateway.New(cfg, plane.DataPlane(), log)
	if err != nil {
		return err
	}
	g := &daemon.Group{Log: log}
	g.Add("plane", plane)
	g.Add("gateway", server)
	return g.Run(context.Background())
}

// take gets a lease through the helper, whose policy lets only its own sockets
// out. It ends when its certificate does.
func (l *leasing) take(notAfter time.Time) *machine.Lease {
	l.w.Helper()
	shown := policy.PairOf(l.ClientUntil(l.w, notAfter))
	pair, err := shown.TLS()
	l.w.must(err)
	c, err := enroll.New(enroll.Config{Dial: l.w.ask.Dial, CA: l.PEM}, pair)
	l.w.must(err)
	defer c.Close()
	g := machine.Gateway{Name: leaseName, Lease: []netip.AddrPort{netip.MustParseAddrPort(gatewayOut + ":443")}}
	l.w.wan.permit(leased)
	l.w.apply(machine.State{Phase: machine.Connecting, Gateways: []machine.Gateway{g}}.Policy())
	var grant enroll.Grant
	l.w.until("the gateway gives a lease", func() bool {
		grant, err = c.Lease(l.w.Context(), g)
		return err == nil
	})
	return grant.Machine(l.PEM, shown, enroll.Kind{})
}

// leased is what may leave beside WireGuard: the helper's connections.
func leased(f frame) bool {
	return f.wireguard() || f.proto == unix.IPPROTO_TCP && f.dst == netip.MustParseAddr(gatewayOut) && f.dport == leasePort
}

// expired: a lease of the real gateway ends, and nobody asks for another one.
// What counts is what reaches the server more than 2 s later, or leaves.
func expired(w *world) {
	w.startHelper()
	l := w.startLeasing()
	notAfter := time.Now().Add(6 * time.Second).Truncate(time.Second)
	if w.control {
		notAfter = notAfter.Add(time.Hour)
	}
	granted := l.take(notAfter)
	if !granted.NotAfter.Equal(notAfter) {
		w.Errorf("the lease ends at %v, its certificate at %v", granted.NotAfter, notAfter)
	}
	state := machine.State{Phase: machine.Connected, Lease: granted}
	w.connect(state.Policy())
	if !w.control {
		w.pause(time.Until(notAfter.Add(2 * time.Second)))
	}
	before := w.arrived.Load()
	w.quiet()
	stop := w.storm(w.shooter, everything())
	for range 3 {
		w.through("tcp4", server4)
	}
	if !w.control {
		state.Phase = machine.Blocked
		w.apply(state.Policy())
		w.through("tcp4", server4)
	}
	stop()
	after := int(w.arrived.Load() - before)
	seen := w.wan.take(w.T)
	w.total += after + len(seen)
	if !w.control && (after > 0 || len(seen) > 0) {
		w.Errorf("after the lease's end %d connections reach the server, and %v leaks", after, seen[:min(len(seen), 5)])
	}
	if w.control && after == 0 {
		w.Error("without an end nothing reaches the server: this proves nothing")
	}
}

// TestOverTLS: a network that lets only TLS pass carries the tunnel too, and the
// way may change while it is up.
func TestOverTLS(t *testing.T) {
	nettest.Need(t)
	w := newWorld(t, false)
	w.startHelper()
	l := w.startLeasing()
	granted := l.take(time.Now().Add(time.Hour))
	over := slices.IndexFunc(granted.Routes, func(r machine.Route) bool { return r.Wrap != nil })
	if over < 0 {
		t.Fatal("the lease has no route over TLS")
	}
	udp := machine.State{Phase: machine.Connected, Lease: granted}
	tls := udp
	tls.Route = over
	w.step("over UDP, over TLS, and back", func() {
		for _, s := range []machine.State{udp, tls, udp, tls} {
			w.connect(s.Policy())
		}
	})
	w.wan.permit(func(f frame) bool { return leased(f) && !f.wireguard() })
	w.step("over TLS alone", func() { w.works("a connection over TLS") })
}

// TestRenewedKey: a renewed lease brings another pre-shared key, and the session
// goes on until its next handshake.
func TestRenewedKey(t *testing.T) {
	nettest.Need(t)
	w := newWorld(t, false)
	w.startHelper()
	p := w.policy(w.gateways[0])
	w.connect(p)
	before, err := w.ask.Stats(w.Context())
	w.must(err)
	p.Tunnel.PSK[0] ^= 1 // Of which the gateway does not know: a handshake would fail.
	w.connect(p)
	after, err := w.ask.Stats(w.Context())
	w.must(err)
	if !after.LastHandshake.Equal(before.LastHandshake) || after.TX <= before.TX {
		t.Errorf("the session did not go on: %+v, then %+v", before, after)
	}
}
