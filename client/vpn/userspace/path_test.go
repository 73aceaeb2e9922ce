package userspace

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// connectSOCKS speaks SOCKS5 to the proxy and returns the code of its reply.
func connectSOCKS(t *testing.T, c net.Conn, host string, port byte) byte {
	t.Helper()
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	if a, err := netip.ParseAddr(host); err == nil {
		b := a.As4()
		request = append([]byte{5, 1, 0, 5, 1, 0, 1}, b[:]...)
	}
	if _, err := c.Write(append(request, 0, port)); err != nil {
		t.Fatal(err)
	}
	var reply [12]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		t.Fatal(err)
	}
	return reply[3]
}

// connectHTTP speaks HTTP to the proxy and returns the status of its reply.
func connectHTTP(t *testing.T, c net.Conn, method, target string) (int, string) {
	t.Helper()
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, target)
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.StatusCode, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestProxy(t *testing.T) {
	g, p := newGate(t), newPath(t)
	apply(t, p, tunnelTo(g.link()))
	for _, host := range []string{"10.64.0.1", "echo.example", "big.example"} {
		c := client(t, p)
		if code := connectSOCKS(t, c, host, 7); code != socksFine {
			t.Fatalf("SOCKS to %s: code %d", host, code)
		}
		echoes(t, c, strings.Repeat("a letter ", 1<<15))
		c.(*net.TCPConn).CloseWrite()
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d bytes, %v", n, err)
		}
	}
	c := client(t, p)
	if code, why := connectHTTP(t, c, "CONNECT", "echo.example:7"); code != 200 {
		t.Fatalf("CONNECT: status %d: %s", code, why)
	}
	echoes(t, c, "hello")
	for target, want := range map[string]int{"none.example:7": 502, "echo.example:8": 502, "[2001:db8::1]:7": 502, "echo.example": 400} {
		if code, _ := connectHTTP(t, client(t, p), "CONNECT", target); code != want {
			t.Errorf("CONNECT %s: status %d, want %d", target, code, want)
		}
	}
	if code, why := connectHTTP(t, client(t, p), "GET", "http://echo.example/"); code != 405 || !strings.Contains(why, "socks5h") {
		t.Errorf("GET: status %d: %s", code, why)
	}
	s, err := p.Stats(t.Context())
	if err != nil || time.Since(s.LastHandshake) > time.Minute || s.RX < 1<<18 || s.TX < 1<<18 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// TestRefuses: without a tunnel nothing leaves, in open traffic neither.
func TestRefuses(t *testing.T) {
	g, p := newGate(t), newPath(t)
	refused := func(when string) {
		t.Helper()
		if code := connectSOCKS(t, client(t, p), "10.64.0.1", 7); code != socksForbidden {
			t.Errorf("%s: SOCKS: code %d", when, code)
		}
		if code, why := connectHTTP(t, client(t, p), "CONNECT", "10.64.0.1:7"); code != 503 || !strings.Contains(why, "not connected") {
			t.Errorf("%s: HTTP: status %d: %s", when, code, why)
		}
		if s, err := p.Stats(t.Context()); err != nil || s != (policy.Stats{}) {
			t.Errorf("%s: stats %+v, %v", when, s, err)
		}
	}
	refused("at first")
	apply(t, p, policy.Policy{Mode: policy.Open})
	refused("open")
	apply(t, p, tunnelTo(g.link()))
	c := client(t, p)
	if code := connectSOCKS(t, c, "10.64.0.1", 7); code != socksFine {
		t.Fatalf("code %d", code)
	}
	echoes(t, c, "hello")
	apply(t, p, policy.Policy{})
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection outlives the tunnel: %v", err)
	}
	refused("blocked")
}

// TestChangesUnderway: the way to the gateway and the pre-shared key change,
// and connections live on.
func TestChangesUnderway(t *testing.T) {
	g, p := newGate(t), newPath(t)
	l := g.link()
	l.Endpoint = netip.MustParseAddrPort("127.0.0.1:9") // Nobody is there.
	apply(t, p, tunnelTo(l))
	l = g.link()
	l.Endpoint, l.Wrap = g.tls, &policy.Wrap{ServerName: "gw1.example.org", CA: g.ca, Pair: g.pair}
	apply(t, p, tunnelTo(l))
	c := client(t, p)
	if code := connectSOCKS(t, c, "echo.example", 7); code != socksFine {
		t.Fatalf("over TLS: code %d", code)
	}
	echoes(t, c, strings.Repeat("over TLS ", 1<<13))
	l = g.link()
	l.PSK = randomKey()
	if err := g.dev.IpcSet(fmt.Sprintf("public_key=%s\nupdate_only=true\npreshared_key=%s\n", g.client.Public().Hex(), l.PSK.Hex())); err != nil {
		t.Fatal(err)
	}
	apply(t, p, tunnelTo(l))
	echoes(t, c, strings.Repeat("by UDP ", 1<<13))
}

// TestStrangerIsNoGateway: TLS to another name, or another CA, carries nothing.
func TestStrangerIsNoGateway(t *testing.T) {
	g, p := newGate(t), newPath(t)
	l := g.link()
	l.Endpoint, l.Wrap = g.tls, &policy.Wrap{ServerName: "gw2.example.org", CA: g.ca, Pair: g.pair}
	apply(t, p, tunnelTo(l))
	until(t, "a handshake is tried", func() bool {
		s, err := p.Stats(t.Context())
		return err == nil && s.TX > 0
	})
	if s, err := p.Stats(t.Context()); err != nil || s.RX > 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
	l.Wrap = &policy.Wrap{ServerName: "gw1.example.org", CA: []byte("none"), Pair: g.pair}
	if err := p.Apply(t.Context(), tunnelTo(l)); !errors.Is(err, problem.Invalid) {
		t.Errorf("a malformed CA: %v", err)
	}
}

// TestReplaced: a connection that is being made moves to the new tunnel.
func TestReplaced(t *testing.T) {
	dead, g, p := newGate(t), newGate(t), newPath(t)
	l := dead.link()
	l.Endpoint = netip.MustParseAddrPort("127.0.0.1:9")
	apply(t, p, tunnelTo(l))
	c := client(t, p)
	done := make(chan byte, 1)
	go func() { done <- connectSOCKS(t, c, "10.64.0.1", 7) }()
	until(t, "the connection is begun", func() bool { return p.current().net.stack.Stats().TCP.ActiveConnectionOpenings.Value() > 0 })
	apply(t, p, tunnelTo(g.link()))
	if code := <-done; code != socksFine {
		t.Fatalf("code %d", code)
	}
	echoes(t, c, "hello")
}

func TestDialOutside(t *testing.T) {
	p := newPath(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	if _, err := p.Dial(t.Context(), "tcp", to); !errors.Is(err, problem.Permission) {
		t.Errorf("not in reach: %v", err)
	}
	for _, next := range []policy.Policy{{Reach: []netip.AddrPort{to}}, {Mode: policy.Open}} {
		apply(t, p, next)
		c, err := p.Dial(t.Context(), "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, p, policy.Policy{})
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection is not cut: %v", err)
		}
		c.Close()
	}
}

func TestRefusedPolicyChangesNothing(t *testing.T) {
	g, p := newGate(t), newPath(t)
	apply(t, p, tunnelTo(g.link()))
	bad := g.link()
	bad.PeerKey = lease.Key{}
	if err := p.Apply(t.Context(), tunnelTo(bad)); !errors.Is(err, problem.Invalid) {
		t.Fatalf("accepted: %v", err)
	}
	if code := connectSOCKS(t, client(t, p), "10.64.0.1", 7); code != socksFine {
		t.Errorf("code %d", code)
	}
}

func TestNew(t *testing.T) {
	if _, err := New(t.Context(), Config{Proxy: netip.MustParseAddrPort("0.0.0.0:0")}); !errors.Is(err, problem.Invalid) {
		t.Errorf("a proxy for everybody: %v", err)
	}
	p := newPath(t)
	if _, err := New(t.Context(), Config{Proxy: p.Proxy()}); !errors.Is(err, problem.Unavailable) {
		t.Errorf("a port that is taken: %v", err)
	}
	p.Close()
	if err := p.Apply(t.Context(), policy.Policy{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
