package vnet_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"leap.example/qemu/vnet"
)

const sayPort = 8080

// say has a member tell everybody who comes a word.
func say(t *testing.T, h *vnet.Host, at netip.Addr, word string) {
	t.Helper()
	l, err := h.ListenTCP(netip.AddrPortFrom(at, sayPort))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, word) // Who came reads it.
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

// doorsOf opens a door to the second host of a lab of its own, which says a word.
func doorsOf(t *testing.T, word string) (host *vnet.Host, d *vnet.Doors) {
	t.Helper()
	_, one, two := pair(t)
	say(t, two, two4, word)
	if _, err := two.ServeDNS(two4, vnet.Names{Addrs: map[string][]netip.Addr{"two.lab": {two4}}}); err != nil {
		t.Fatal(err)
	}
	d, err := one.Doors(netip.MustParseAddr("127.201.0.0"), netip.AddrPortFrom(two4, 53)) // Only this test's.
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Open(netip.AddrPortFrom(two4, sayPort)); err != nil {
		t.Fatal(err)
	}
	return one, d
}

// TestTwoLabs opens doors to the same address of two labs at once.
func TestTwoLabs(t *testing.T) {
	first, a := doorsOf(t, "first")
	_, b := doorsOf(t, "second")
	if a.At(two4) != netip.MustParseAddr("127.201.0.2") || b.At(two4) != netip.MustParseAddr("127.202.0.2") {
		t.Fatalf("doors at %v and %v", a.At(two4), b.At(two4))
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	for want, d := range map[string]*vnet.Doors{"first": a, "second": b} {
		conn, err := dialer.Dial("tcp", netip.AddrPortFrom(d.At(two4), sayPort).String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(conn); err != nil || string(got) != want {
			t.Errorf("behind the door of the %s lab is %q, %v", want, got, err)
		}
		_ = conn.Close()
		names := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "udp", d.Resolver())
		}}
		if found, err := names.LookupNetIP(t.Context(), "ip4", "two.lab."); err != nil || !slices.Equal(found, []netip.Addr{d.At(two4)}) {
			t.Errorf("its name is at %v, %v; its doors at %v", found, err, d.At(two4))
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, c := doorsOf(t, "third"); c.At(two4) != a.At(two4) {
		t.Errorf("doors at %v, and %v is free", c.At(two4), a.At(two4))
	}
}
