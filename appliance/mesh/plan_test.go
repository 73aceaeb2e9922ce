package mesh

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"leap.example/appliance/node"
)

var update = flag.Bool("update", false, "rewrite golden files")

// fakeKey is the same in every run.
func fakeKey(n byte) Key { return Key{wgtypes.Key{8, n, 31: 64}} }

func fakePeer(n byte) node.Peer {
	return node.Peer{
		Name: fmt.Sprintf("node%d", n), PublicKey: fakeKey(n).Public(), Address: netip.AddrFrom4([4]byte{10, 9, 0, n}),
		Endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 51820),
	}
}

// obey is a kernel.
func obey(d *wgtypes.Device, c wgtypes.Config) {
	if c.PrivateKey != nil {
		d.PrivateKey = *c.PrivateKey
	}
	if c.ListenPort != nil {
		d.ListenPort = *c.ListenPort
	}
	for _, pc := range c.Peers {
		var others []wgtypes.Peer
		p := wgtypes.Peer{PublicKey: pc.PublicKey}
		for _, o := range d.Peers {
			if o.PublicKey == pc.PublicKey {
				p = o
			} else {
				others = append(others, o)
			}
		}
		if d.Peers = others; pc.Remove {
			continue
		}
		if pc.ReplaceAllowedIPs {
			p.AllowedIPs = nil
		}
		p.AllowedIPs = append(p.AllowedIPs, pc.AllowedIPs...)
		if pc.Endpoint != nil {
			p.Endpoint = pc.Endpoint
		}
		if pc.PersistentKeepaliveInterval != nil {
			p.PersistentKeepaliveInterval = *pc.PersistentKeepaliveInterval
		}
		d.Peers = append(d.Peers, p)
	}
}

func TestPlan(t *testing.T) {
	now := time.Unix(1e9, 0)
	own := fakeKey(1)
	base := node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820}
	with := func(peers ...node.Peer) node.Mesh { m := base; m.Peers = peers; return m }
	moved, behind, calling := fakePeer(2), fakePeer(2), fakePeer(4)
	moved.Endpoint = netip.MustParseAddrPort("198.51.100.2:51820")
	behind.Address, behind.Keepalive = netip.MustParseAddr("10.9.0.20"), true
	calling.Endpoint = netip.AddrPort{}
	shake := func(age time.Duration) func(*wgtypes.Device) {
		return func(d *wgtypes.Device) {
			for i := range d.Peers {
				d.Peers[i].LastHandshakeTime = now.Add(-age)
			}
		}
	}
	roam := func(d *wgtypes.Device) {
		shake(time.Minute)(d)
		d.Peers[0].Endpoint = &net.UDPAddr{IP: net.ParseIP("203.0.113.2"), Port: 4711}
	}
	other := base
	other.Port = 4500
	var b strings.Builder
	d := &wgtypes.Device{}
	for _, s := range []struct {
		name string
		do   func(*wgtypes.Device)
		want node.Mesh
		key  Key
	}{
		{"first", nil, with(fakePeer(2), fakePeer(3)), own},
		{"one more, who calls us", nil, with(fakePeer(2), fakePeer(3), calling), own},
		{"one goes", nil, with(fakePeer(2)), own},
		{"a living peer roams", roam, with(fakePeer(2)), own},
		{"the document moves a living peer", nil, with(moved), own},
		{"it is silent", shake(5 * time.Minute), with(moved), own},
		{"another address, keepalive", nil, with(behind), own},
		{"another port, no peers", nil, other, own},
		{"another key", nil, other, fakeKey(9)},
	} {
		if s.do != nil {
			s.do(d)
		}
		c, p, err := difference(s.want, s.key, d, now)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		b.WriteString("== " + s.name + "\n")
		for _, line := range p {
			b.WriteString(line + "\n")
		}
		obey(d, c)
		if _, again, err := difference(s.want, s.key, d, now); len(again) > 0 || err != nil {
			t.Errorf("%s: again it does %v, %v", s.name, again, err)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/plan.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/plan.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("testdata/plan.golden differs; with -update it becomes:\n%s", b.String())
	}
}

func TestPlanRefuses(t *testing.T) {
	self, broken := fakePeer(1), fakePeer(2)
	broken.PublicKey = "short"
	for _, tt := range []struct {
		peer node.Peer
		want string
	}{
		{self, "peer node1 has this node's own key"},
		{broken, "peer node2: its public key: "},
	} {
		m := node.Mesh{Address: netip.MustParsePrefix("10.9.0.1/24"), Port: 51820, Peers: []node.Peer{tt.peer}}
		if _, _, err := difference(m, fakeKey(1), &wgtypes.Device{}, time.Now()); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestKey(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, k); got != "private key" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	same, err := ParseKey(k.Bytes())
	if err != nil || same.Public() != k.Public() || len(k.Public()) != 44 {
		t.Errorf("read back: %s, %v, want %s", same.Public(), err, k.Public())
	}
	for _, b := range [][]byte{nil, make([]byte, 32), make([]byte, 31)} {
		if _, err := ParseKey(b); err == nil {
			t.Errorf("%d bytes of 0 are a key", len(b))
		}
	}
}
