package kernel

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
)

// TestAbort ends the sockets of an address, and no others.
func TestAbort(t *testing.T) {
	nettest.Need(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	var gone []netip.Addr
	for _, text := range []string{"10.64.3.9/32", "fd00:64::309/128"} {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrReplace(lo, a); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.AddrDel(lo, a) })
		gone = append(gone, netip.MustParsePrefix(text).Addr())
	}
	ln, err := net.Listen("tcp", "[::]:0") // Its ends of IPv4 are sockets of IPv6.
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)
	conns := map[netip.Addr]net.Conn{}
	for _, network := range []string{"tcp", "udp"} {
		for _, a := range append([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, gone...) {
			c, err := net.Dial(network, netip.AddrPortFrom(a, port).String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if network == "udp" {
				continue
			}
			conns[a] = c
			other, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
		}
	}
	left, err := abort(gone)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the kernel cannot destroy sockets")
	}
	if err != nil || len(left) > 0 {
		t.Errorf("sockets of %v are left: %v", left, err)
	}
	for a, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		if got, want := errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.ECONNRESET), slices.Contains(gone, a); got != want {
			t.Errorf("the connection of %v is ended: %v, want %v: %v", a, got, want, err)
		}
	}
	if all, err := sockets([]netip.Addr{netip.MustParseAddr("127.0.0.1")}); err != nil || len(all) < 3 {
		t.Errorf("other sockets: %d, %v", len(all), err)
	}
}

// TestRest: where sockets cannot be ended they are kept from sending, and the
// machine does not count as blocked.
func TestRest(t *testing.T) {
	Need(t)
	open := policy.Policy{Mode: policy.Open}
	for _, gone := range [][]netip.Addr{{netip.MustParseAddr("fd00:64::309")}, nil} {
		if err := install(open, gone); err != nil {
			t.Fatal(err)
		}
		if closed, err := installed(); err != nil || closed {
			t.Errorf("open, with %v gone, is taken for blocked: %v", gone, err)
		}
		conn, err := nftables.New()
		if err != nil {
			t.Fatal(err)
		}
		chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
		if err != nil || len(chains) != len(gone) {
			t.Fatalf("%v gone: %d chains, %v", gone, len(chains), err)
		}
		for _, c := range chains {
			rules, err := conn.GetRules(c.Table, c)
			if err != nil || c.Table.Name != rest || *c.Policy != nftables.ChainPolicyAccept || len(rules) != 2 {
				t.Errorf("%+v with %d rules: %v", c, len(rules), err)
			}
		}
	}
}

// TestRemember: addresses outlive the process that had them.
func TestRemember(t *testing.T) {
	s := settings(t.TempDir())
	want := []netip.Addr{netip.MustParseAddr("10.64.3.9"), netip.MustParseAddr("fd00:64::309")}
	for _, all := range [][]netip.Addr{want, nil, nil} {
		if err := s.remember(all); err != nil || !slices.Equal(s.had(), all) {
			t.Errorf("%v becomes %v, %v", all, s.had(), err)
		}
	}
	if err := s.write(hadFile, "damaged\n10.64.3.9\n"); err != nil || !slices.Equal(s.had(), want[:1]) {
		t.Errorf("a damaged file names %v, %v", s.had(), err)
	}
}
