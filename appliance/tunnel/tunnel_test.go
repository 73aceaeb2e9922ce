package tunnel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"leap.example/appliance/firewall"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
	"leap.example/services/protocol/lease"
)

func newKey() (k lease.Key) {
	_, _ = rand.Read(k[:]) // It never fails.
	return k
}

// A user has WireGuard and a stack of its own in user space.
type user struct {
	Peer
	*netstack.Net
}

// newUser makes one at a peer, and knows the gateway at that address.
func newUser(t *testing.T, p *nettest.Peer, gateway lease.Key, at string, addresses ...string) *user {
	t.Helper()
	key := newKey()
	u := &user{Peer: Peer{PublicKey: key.Public(), PSK: newKey()}}
	var own []netip.Addr
	for _, a := range addresses {
		own = append(own, netip.MustParseAddr(a))
		u.Addresses = append(u.Addresses, netip.PrefixFrom(own[len(own)-1], own[len(own)-1].BitLen()))
	}
	card, stack, err := netstack.CreateNetTUN(own, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	u.Net = stack
	d := device.NewDevice(card, p.Bind(t), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	config := fmt.Sprintf("private_key=%s\npublic_key=%s\npreshared_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n",
		key.Hex(), gateway.Hex(), u.PSK.Hex(), at)
	must(t, errors.Join(d.IpcSet(config), d.Up()))
	return u
}

// get asks a server who sees the user, within as long as an answer takes.
func (u *user) get(to string, within time.Duration) (string, error) {
	tr := &http.Transport{DialContext: u.DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// wait is how long an answer may take; what is dropped is seen by its absence.
const wait = 500 * time.Millisecond

// sees wants a user to be seen at an address; "" is not at all.
func (u *user) sees(t *testing.T, to, want string) {
	t.Helper()
	within := 10 * time.Second
	if want == "" {
		within = wait
	}
	got, err := u.get(to, within)
	if got != want {
		t.Errorf("%s sees %v at %q, want %q: %v", to, u.Addresses, got, want, err)
	}
}

// serve tells at an address of a peer's namespace, or here, who comes.
func serve(t *testing.T, p *nettest.Peer, at string) {
	t.Helper()
	var ln net.Listener
	p.Do(t, func() (err error) { ln, err = net.Listen("tcp", at); return err })
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, host)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
}

func plug(t *testing.T, name string, addresses ...string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	for _, text := range addresses {
		a, err2 := netlink.ParseAddr(text)
		err = errors.Join(err, err2, netlink.AddrAdd(l, a))
	}
	if err = errors.Join(err, netlink.LinkSetUp(l)); err != nil {
		t.Fatal(err)
	}
}

// users 203.0.113.2 ---- eth0, the node, eth1 ---- world 198.51.100.80
func TestTunnel(t *testing.T) {
	users, world := nettest.NewPeer(t), nettest.NewPeer(t)
	users.Veth(t, "eth0", "far", "203.0.113.2/24")
	world.Veth(t, "eth1", "far", "198.51.100.80/24", "2001:db8::80/64")
	plug(t, "eth0", "203.0.113.5/24")
	plug(t, "eth1", "198.51.100.5/24", "198.51.100.6/24", "2001:db8::6/64")
	serve(t, world, ":80")
	serve(t, world, ":25")
	nettest.WireGuard(t, node.TunnelDevice)

	d := node.Document{Agent: node.Agent{Port: 4430}, Services: map[string]node.Service{
		"gateway": {Net: true, Listeners: []node.Listener{{Protocol: "udp", Port: 51821, From: "public"}}},
	}}
	if _, err := firewall.Apply(t.Context(), d); err != nil {
		t.Skipf("the kernel has no nftables: %v", err)
	}
	frame(t, d)
	c := config()
	_, err := firewall.ApplyGateway(t.Context(), firewall.Gateway{
		Port: c.Port, Entry: []firewall.Entry{{Addr: netip.MustParseAddr("203.0.113.5"), Ports: []uint16{53, 443}}}, Tunnel: c.Addresses,
		Egress: []netip.Addr{netip.MustParseAddr("198.51.100.6"), netip.MustParseAddr("2001:db8::6")}, Rate: 102400,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.PrivateKey = newKey()
	dev := New()
	if _, err := dev.Up(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if again, err := dev.Up(t.Context(), c); err != nil || len(again) > 0 {
		t.Errorf("again it does %v, %v", again, err)
	}

	public := c.PrivateKey.Public()
	a := newUser(t, users, public, "203.0.113.5:443", "10.64.0.2", "fd00:64::2")
	b := newUser(t, users, public, "203.0.113.5:51821", "10.64.0.3")
	stranger := newUser(t, users, public, "203.0.113.5:53", "10.64.0.4")
	forger := newUser(t, users, public, "203.0.113.5:53", "10.64.0.9")
	forger.Addresses = []netip.Prefix{netip.MustParsePrefix("10.64.0.5/32")}
	other := b.Peer
	other.PSK = newKey()
	must(t, dev.Set(t.Context(), a.Peer, other, forger.Peer))
	must(t, dev.Set(t.Context(), b.Peer)) // As it should be.

	a.sees(t, "198.51.100.80", "198.51.100.6")
	a.sees(t, "[2001:db8::80]", "2001:db8::6")
	b.sees(t, "198.51.100.80", "198.51.100.6")
	stranger.sees(t, "198.51.100.80", "")
	forger.sees(t, "198.51.100.80", "")
	a.sees(t, "198.51.100.80:25", "")
	meet(t, a, b)

	t.Run("after a restart all goes on", func(t *testing.T) {
		again := New()
		if done, err := again.Up(t.Context(), c); err != nil || len(done) > 0 {
			t.Errorf("it does %v, %v", done, err)
		}
		states, err := again.List(t.Context())
		if err != nil || len(states) != 3 {
			t.Fatalf("there are %d peers, %v", len(states), err)
		}
		i := slices.IndexFunc(states, func(s PeerState) bool { return s.PublicKey == a.PublicKey })
		if s := states[i]; time.Since(s.LastHandshake) > time.Minute || s.RX == 0 || s.TX == 0 {
			t.Errorf("a is %+v", s)
		}
		a.sees(t, "198.51.100.80", "198.51.100.6")
	})
	t.Run("flows", func(t *testing.T) { forget(t, dev, a, b) })
	t.Run("removed", func(t *testing.T) {
		must(t, dev.Remove(t.Context(), a.PublicKey, stranger.PublicKey))
		a.sees(t, "198.51.100.80", "")
		b.sees(t, "198.51.100.80", "198.51.100.6")
	})
	t.Run("many", func(t *testing.T) { many(t, dev) })
	t.Run("no gateway any more", func(t *testing.T) {
		d.Services = nil
		frame(t, d)
		if _, err := netlink.LinkByName(node.TunnelDevice); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("the device is still there: %v", err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// frame applies twice: the second time changes nothing.
func frame(t *testing.T, d node.Document) {
	t.Helper()
	done, err := Frame(t.Context(), d)
	if err != nil || len(done) == 0 {
		t.Fatalf("it does %v, %v", done, err)
	}
	if again, err := Frame(t.Context(), d); err != nil || len(again) > 0 {
		t.Errorf("again it does %v, %v", again, err)
	}
	for _, s := range settings(d.Gateway(), 0) {
		// The machine's own are not to be had in a namespace.
		if have, err := os.ReadFile(s.path); !s.least && (err != nil || strings.TrimSpace(string(have)) != fmt.Sprint(s.value)) {
			t.Errorf("%s is %q, want %d: %v", s.path, have, s.value, err)
		}
	}
}

// meet checks that users do not.
func meet(t *testing.T, a, b *user) {
	t.Helper()
	ln, err := b.ListenTCP(&net.TCPAddr{Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	if c, err := a.DialContext(ctx, "tcp", "10.64.0.3:80"); err == nil {
		_ = c.Close()
		t.Error("one user reaches another")
	}
}

// forget has connections end that are in use.
func forget(t *testing.T, dev *Device, a, b *user) {
	count := func(u *user) (n int) {
		t.Helper()
		for _, family := range []netlink.InetFamily{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
			must(t, err)
			for _, f := range flows {
				for _, own := range u.Addresses {
					if f.Forward.SrcIP.Equal(own.Addr().AsSlice()) {
						n++
					}
				}
			}
		}
		return n
	}
	if count(a) < 2 || count(b) < 1 {
		t.Fatalf("the kernel knows %d and %d connections", count(a), count(b))
	}
	// A deadline in between ends it, with an error, whatever there is to forget.
	short, cancel := context.WithTimeout(t.Context(), time.Microsecond)
	defer cancel()
	if err := dev.Forget(short, []netip.Addr{a.Addresses[0].Addr()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beyond its time: %v", err)
	}
	must(t, dev.Forget(t.Context(), []netip.Addr{a.Addresses[0].Addr(), a.Addresses[1].Addr(), netip.MustParseAddr("10.64.9.9")}))
	if count(a) != 0 || count(b) < 1 {
		t.Errorf("%d and %d are left", count(a), count(b))
	}
}

// many sets and removes many peers at once.
func many(t *testing.T, dev *Device) {
	before, err := dev.List(t.Context())
	must(t, err)
	var peers []Peer
	var keys []lease.Key
	for i := range 500 {
		p := Peer{PublicKey: newKey().Public(), PSK: newKey(), Addresses: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64, byte(1 + i>>8), byte(i)}), 32),
		}}
		peers, keys = append(peers, p), append(keys, p.PublicKey)
	}
	begin := time.Now()
	must(t, dev.Set(t.Context(), peers...))
	set := time.Since(begin)
	all, err := dev.List(t.Context())
	if err != nil || len(all) != len(before)+len(peers) {
		t.Errorf("there are %d peers, %v", len(all), err)
	}
	begin = time.Now()
	must(t, dev.Remove(t.Context(), keys...))
	t.Logf("%d peers: set in %v, removed in %v", len(peers), set, time.Since(begin))
	if all, err = dev.List(t.Context()); err != nil || len(all) != len(before) {
		t.Errorf("%d peers are left of %d, %v", len(all), len(before), err)
	}
}
