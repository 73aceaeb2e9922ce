package mesh_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
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
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"leap.example/appliance/mesh"
	"leap.example/appliance/netcfg/nettest"
	"leap.example/appliance/node"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func newKey(t *testing.T) mesh.Key {
	t.Helper()
	k, err := mesh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A neighbour is another node of the mesh, with a web server.
type neighbour struct {
	node.Peer
	net *netstack.Net
}

// newNeighbour joins a node, which knows the node under test, at the peer's end.
func newNeighbour(t *testing.T, p *nettest.Peer, own mesh.Key, address string) *neighbour {
	t.Helper()
	key := newKey(t)
	n := &neighbour{Peer: node.Peer{
		Name: "b", PublicKey: key.Public(), Address: netip.MustParseAddr(address), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
	}}
	card, stack, err := netstack.CreateNetTUN([]netip.Addr{n.Address}, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	n.net = stack
	d := device.NewDevice(card, p.Bind(t), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	config := fmt.Sprintf("private_key=%s\nlisten_port=51820\npublic_key=%s\nallowed_ip=10.9.0.1/32\n",
		hex.EncodeToString(key.Bytes()), hexKey(t, own))
	if err := errors.Join(d.IpcSet(config), d.Up()); err != nil {
		t.Fatal(err)
	}

	ln, err := stack.ListenTCPAddrPort(netip.AddrPortFrom(n.Address, 80))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.RemoteAddr)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return n
}

// hexKey is the public key as WireGuard's own protocol writes it.
func hexKey(t *testing.T, k mesh.Key) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func apply(t *testing.T, m *node.Mesh, k mesh.Key) mesh.Plan {
	t.Helper()
	done, err := mesh.Apply(t.Context(), m, k)
	if err != nil {
		t.Fatalf("applying: %v, done: %v", err, done)
	}
	if again, err := mesh.Apply(t.Context(), m, k); len(again) > 0 || err != nil {
		t.Fatalf("applied again it does %v, %v", again, err)
	}
	return done
}

// browser has a time limit for what never answers.
func browser() (*http.Client, func()) {
	tr := &http.Transport{}
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}, tr.CloseIdleConnections
}

func get(c *http.Client, address netip.Addr) (string, error) {
	resp, err := c.Get("http://" + address.String() + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// cable makes that between this node, at 192.0.2.5, and the peer, at 192.0.2.1.
func cable(t *testing.T, p *nettest.Peer) {
	t.Helper()
	p.Veth(t, "eth0", "far", "192.0.2.1/24")
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	own, err := netlink.ParseAddr("192.0.2.5/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.AddrAdd(eth0, own), netlink.LinkSetUp(eth0)); err != nil {
		t.Fatal(err)
	}
}

// TestStartsAgain has this node start again while a neighbour goes on with the session
// from before. It is heard at once.
func TestStartsAgain(t *testing.T) {
	p := nettest.NewPeer(t)
	cable(t, p)
	key := newKey(t)
	b := newNeighbour(t, p, key, "10.9.0.2")
	m := &node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820, Peers: []node.Peer{b.Peer}}
	for range 2 {
		t.Run("a life", func(t *testing.T) {
			nettest.WireGuard(t, node.MeshDevice)
			apply(t, m, key)
			ln, err := net.Listen("tcp", "10.9.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // Silence is noticed after 15 s.
			defer cancel()
			c, err := b.net.DialContext(ctx, "tcp", ln.Addr().String())
			if err != nil {
				t.Errorf("the neighbour does not reach it: %v", err)
			} else {
				err = c.Close()
			}
			if err := errors.Join(err, ln.Close()); err != nil {
				t.Error(err)
			}
			apply(t, nil, key)
		})
	}
}

// this node                                     the peer's namespace
// wg-mesh 10.9.0.1                              neighbour 10.9.0.2 (user space)
// eth0 192.0.2.5 ------------- veth ------------ far 192.0.2.1
func TestMesh(t *testing.T) {
	p := nettest.NewPeer(t)
	cable(t, p)
	nettest.WireGuard(t, node.MeshDevice)
	key := newKey(t)
	b := newNeighbour(t, p, key, "10.9.0.2")
	m := &node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820, Peers: []node.Peer{b.Peer}}

	apply(t, m, key)
	client, idle := browser()
	defer idle()
	first, err := get(client, b.Address)
	if err != nil || !strings.HasPrefix(first, "10.9.0.1:") {
		t.Fatalf("over the mesh: %q, %v", first, err)
	}

	t.Run("the neighbour reaches this node", func(t *testing.T) {
		ln, err := net.Listen("tcp", "10.9.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := b.net.DialContext(ctx, "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	})
	t.Run("a tunnel outlives changes beside it", func(t *testing.T) {
		more := *m
		more.Peers = append(slices.Clone(m.Peers), node.Peer{Name: "c", PublicKey: newKey(t).Public(), Address: netip.MustParseAddr("10.9.0.3"), Keepalive: true})
		more.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.99:51820") // It lives where it is.
		done := apply(t, &more, key)
		if len(done) != 1 || !strings.HasPrefix(done[0], "add peer c ") {
			t.Errorf("it did %v", done)
		}
		again, err := get(client, b.Address)
		if err != nil || again != first {
			t.Errorf("the connection from %s is now %q, %v", first, again, err)
		}
		if done := apply(t, m, key); len(done) != 1 || !strings.HasPrefix(done[0], "remove peer ") {
			t.Errorf("it did %v", done)
		}
		if again, err = get(client, b.Address); err != nil || again != first {
			t.Errorf("the connection from %s is now %q, %v", first, again, err)
		}
	})
	t.Run("another address", func(t *testing.T) {
		other := *m
		other.Address = netip.MustParsePrefix("10.9.0.7/24")
		if done := apply(t, &other, key); !slices.Equal(done, mesh.Plan{"remove address 10.9.0.1/24", "address 10.9.0.7/24"}) {
			t.Errorf("it did %v", done)
		}
		apply(t, m, key)
	})
	t.Run("a peer that went", func(t *testing.T) {
		alone := *m
		alone.Peers = nil
		apply(t, &alone, key)
		idle()
		if c, err := net.DialTimeout("tcp", "10.9.0.2:80", 500*time.Millisecond); err == nil {
			_ = c.Close()
			t.Error("it is still reached")
		}
	})
	t.Run("no mesh", func(t *testing.T) {
		if done := apply(t, nil, key); !slices.Equal(done, mesh.Plan{"remove"}) {
			t.Errorf("it did %v", done)
		}
		if _, err := netlink.LinkByName(node.MeshDevice); err == nil {
			t.Error("the device is still there")
		}
	})
}

func TestErrors(t *testing.T) {
	nettest.Need(t)
	m := &node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820}
	t.Run("no device of WireGuard", func(t *testing.T) {
		card := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: node.MeshDevice}, PeerName: "other"}
		if err := netlink.LinkAdd(card); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := netlink.LinkDel(card); err != nil {
				t.Error(err)
			}
		}()
		if _, err := mesh.Apply(t.Context(), m, newKey(t)); err == nil || !strings.Contains(err.Error(), "is no device of WireGuard") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a kernel without WireGuard", func(t *testing.T) {
		probe := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "probe"}}
		if err := netlink.LinkAdd(probe); !errors.Is(err, unix.EOPNOTSUPP) {
			_ = netlink.LinkDel(probe)
			t.Skip("this kernel has it")
		}
		if _, err := mesh.Apply(t.Context(), m, newKey(t)); !errors.Is(err, mesh.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
}
