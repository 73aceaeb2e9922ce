package vnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/qemu/vnet"
)

// Two members of the lab.
var (
	one4, one6 = netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd77::1")
	two4, two6 = netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")
)

// newHost returns a member with an address of each family.
func newHost(t testing.TB, l *vnet.LAN, name string, v4, v6, dns netip.Addr) *vnet.Host {
	t.Helper()
	c := vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64)}}
	if dns.IsValid() {
		c.DNS = netip.AddrPortFrom(dns, 53)
	}
	h, err := l.Host(name, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// pair returns two hosts on a LAN of their own; the first asks the second for
// names.
func pair(t testing.TB) (l *vnet.LAN, one, two *vnet.Host) {
	t.Helper()
	l = newLAN(t, vnet.Config{})
	return l, newHost(t, l, "one", one4, one6, two4), newHost(t, l, "two", two4, two6, netip.Addr{})
}

// serveHTTP answers every request to a host at port 80 with the address that
// asked.
func serveHTTP(t testing.TB, h *vnet.Host, addrs ...netip.Addr) {
	t.Helper()
	server := &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.RemoteAddr) }),
		ReadTimeout: time.Minute,
	}
	done := make(chan error, len(addrs))
	for _, a := range addrs {
		listener, err := h.ListenTCP(netip.AddrPortFrom(a, 80))
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- server.Serve(listener) }()
	}
	t.Cleanup(func() {
		_ = server.Close()
		for range addrs {
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
	})
}

// fetch reads a page as a host.
func fetch(h *vnet.Host, url string, patience time.Duration) (string, error) {
	tr := &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestHTTP(t *testing.T) {
	l, one, two := pair(t)
	serveHTTP(t, two, netip.IPv6Unspecified()) // Of both families.
	for url, from := range map[string]string{"http://10.77.0.2/": "10.77.0.1:", "http://[fd77::2]/": "[fd77::1]:"} {
		got, err := fetch(one, url, 10*time.Second)
		if err != nil || !strings.HasPrefix(got, from) {
			t.Errorf("%s: got %q, %v", url, got, err)
		}
	}
	l.Cut(one.Port(), two.Port())
	if got, err := fetch(one, "http://10.77.0.2/", 300*time.Millisecond); err == nil {
		t.Errorf("across a cut: %q", got)
	}
	l.Heal()
	two.Port().SetLink(vnet.Link{Delay: 20 * time.Millisecond, Loss: 0.05})
	start := time.Now()
	if got, err := fetch(one, "http://[fd77::2]/", 30*time.Second); err != nil {
		t.Errorf("over a bad link: %q, %v", got, err)
	}
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("two round trips over a cable of 20 ms took %v", took)
	}
}

func TestDialErrors(t *testing.T) {
	_, one, two := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []struct {
		host             *vnet.Host
		network, address string
	}{
		{one, "tcp", "10.77.0.2"},
		{one, "tcp", "10.77.0.2:http"},
		{one, "tcp", "10.77.0.2:81"}, // Nobody listens.
		{one, "tcp", "192.0.2.1:80"}, // No route.
		{one, "udp", "192.0.2.1:80"},
		{one, "tcp4", "[fd77::2]:80"},
		{one, "udp6", "10.77.0.2:80"},
		{one, "sctp", "10.77.0.2:80"},
		{two, "tcp", "name.example:80"}, // There is none.
	} {
		if conn, err := c.host.DialContext(ctx, c.network, c.address); err == nil {
			t.Errorf("%s %s: connected to %v", c.network, c.address, conn.RemoteAddr())
		}
	}
	soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := one.DialContext(soon, "tcp", "name.example:80"); err == nil {
		t.Error("a name without a name server that runs")
	}
	if _, err := one.ListenTCP(netip.AddrPortFrom(two4, 80)); err == nil {
		t.Error("listening at the address of another")
	}
	if _, err := one.ListenUDP(netip.AddrPortFrom(two6, 80)); err == nil {
		t.Error("listening at the address of another")
	}
}

func TestBadHosts(t *testing.T) {
	l := newLAN(t, vnet.Config{})
	newHost(t, l, "one", one4, one6, netip.Addr{})
	for name, c := range map[string]vnet.HostConfig{
		"none": {},
		"zero": {Addrs: []netip.Prefix{{}}},
		"one":  {Addrs: []netip.Prefix{netip.PrefixFrom(two4, 24)}},
	} {
		if _, err := l.Host(name, c); err == nil {
			t.Errorf("a host %s with %+v", name, c)
		}
	}
}

// TestRoute reaches a network behind another member. What a host gets for an
// address that it does not have it does not answer, so a machine counts.
func TestRoute(t *testing.T) {
	l := newLAN(t, vnet.Config{})
	newHost(t, l, "router", two4, two6, netip.Addr{})
	behind := netip.MustParsePrefix("192.0.2.0/24")
	h, err := l.Host("one", vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(one4, 24)}, Routes: []vnet.Route{{To: behind, Via: two4}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	c, err := h.DialContext(t.Context(), "udp", "192.0.2.9:9")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	file := filepath.Join(t.TempDir(), "lan.pcap")
	until(t, "the router gets the packet", func() bool {
		if _, err := c.Write([]byte("through the router")); err != nil {
			t.Fatal(err)
		}
		if err := l.SavePcap(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), "through the router")
	})
}

// echo answers datagrams and streams at port 7 of a host.
func echo(t *testing.T, h *vnet.Host, at netip.Addr) {
	t.Helper()
	packets, err := h.ListenUDP(netip.AddrPortFrom(at, 7))
	if err != nil {
		t.Fatal(err)
	}
	streams, err := h.ListenTCP(netip.AddrPortFrom(at, 7))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 2)
	go func() {
		defer func() { done <- true }()
		b := make([]byte, 1500)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(b[:n], from)
		}
	}()
	go func() {
		defer func() { done <- true }()
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(c) // To the end: a half-closed stream still answers.
			_, _ = c.Write(b)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_, _ = packets.Close(), streams.Close()
		<-done
		<-done
	})
}

func TestForward(t *testing.T) {
	l, one, two := pair(t)
	echo(t, two, two6)
	if _, err := two.ServeDNS(two4, vnet.Names{Addrs: map[string][]netip.Addr{"echo.lab": {two6}}}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "fw") // Short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", dir + "/s"}} {
		f, err := one.Forward(at[0], at[1], "echo.lab:7")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial(at[0], f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("through the forward ", 50_000)
		go func() {
			_, _ = io.WriteString(c, text)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || string(got) != text {
			t.Errorf("%s: %d of %d bytes came back, %v", at[0], len(got), len(text), err)
		}
		_ = c.Close()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if c, err := net.Dial(at[0], f.Addr().String()); err == nil {
			_ = c.Close()
			t.Errorf("%s: connected to a closed forward", at[0])
		}
	}
	f, err := one.Forward("udp", "127.0.0.1:0", "[fd77::2]:7")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		c, err := net.Dial("udp", f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			text, b := fmt.Sprint("datagram ", i, j), make([]byte, 100)
			_, _ = c.Write([]byte(text))
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if n, err := c.Read(b); err != nil || string(b[:n]) != text {
				t.Errorf("got %q, %v; want %q", b[:n], err, text)
			}
		}
		_ = c.Close()
	}

	// A forward to nobody ends the connection; Close does not wait for dials.
	l.Cut(one.Port(), two.Port())
	dead, err := one.Forward("tcp", "[::1]:0", "10.77.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", dead.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Error(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil || n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a closed forward: %d bytes, %v", n, err)
	}
	_ = c.Close()
	for _, bad := range [][2]string{{"tcp", "0.0.0.0:0"}, {"tcp", "192.0.2.1:80"}, {"udp", ":0"}, {"tcp", "localhost:0"}, {"udp4", "127.0.0.1:0"}, {"unix", "/no/such/dir/s"}} {
		if f, err := one.Forward(bad[0], bad[1], "echo.lab:7"); err == nil {
			t.Errorf("a forward at %v: %v", bad, f.Addr())
		}
	}
}

// TestClosed does with a closed host what a late test may do.
func TestClosed(t *testing.T) {
	l, one, two := pair(t)
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Forward("tcp", "127.0.0.1:0", "10.77.0.1:7"); err == nil {
		t.Error("a forward of a closed host")
	}
	if _, err := two.ServeNTP(two4); err == nil {
		t.Error("a server on a closed host")
	}
	if _, err := two.ServeDNS(two4, vnet.Names{}); err == nil {
		t.Error("a server on a closed host")
	}
	again := newHost(t, l, "two", two4, two6, netip.Addr{})
	serveHTTP(t, again, two4)
	if _, err := fetch(one, "http://10.77.0.2/", 10*time.Second); err != nil {
		t.Errorf("the next host of that name: %v", err)
	}
}
