package account_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"leap.example/appliance/dev"
)

// A cable is the network between one device and the provider: an address of
// loopback where everything that the provider offers can be reached, and a DNS
// server that names this address. It can be pulled. The provider sees each
// cable as a network of its own.
type cable struct {
	ip       string
	resolver string

	mu    sync.Mutex // Guards what follows.
	out   bool
	muted map[string]bool // Ports whose answers are lost.
	conns map[net.Conn]bool
}

var cables atomic.Int32

// newCable returns a cable that is plugged in.
func newCable(t *testing.T, at dev.Endpoints) *cable {
	t.Helper()
	c := &cable{
		ip:    fmt.Sprintf("127.%d.%d.1", 64+os.Getpid()%128, cables.Add(1)),
		muted: map[string]bool{}, conns: map[net.Conn]bool{},
	}
	var wg sync.WaitGroup
	var ends []func()
	for _, port := range []string{
		portOf(t, at.Web), portOf(t, at.API), portOf(t, at.Nickserver), portOf(t, at.Soledad), portOf(t, at.Submissions),
	} {
		ln, err := net.Listen("tcp", net.JoinHostPort(c.ip, port))
		check(t, err)
		ends = append(ends, func() { ln.Close() })
		wg.Go(func() { c.serve(ln, port, &wg) })
	}
	packets, err := net.ListenPacket("udp", net.JoinHostPort(c.ip, "0"))
	check(t, err)
	c.resolver = packets.LocalAddr().String()
	names := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(c.name)}
	ends = append(ends, func() { names.Shutdown() })
	ready := make(chan struct{})
	names.NotifyStartedFunc = func() { close(ready) }
	wg.Go(func() { names.ActivateAndServe() })
	<-ready
	t.Cleanup(func() {
		c.pull()
		for _, end := range ends {
			end()
		}
		wg.Wait()
	})
	return c
}

// portOf returns the port of a URL or of a host:port.
func portOf(t *testing.T, at string) string {
	t.Helper()
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		at = u.Host
	}
	_, port, err := net.SplitHostPort(at)
	check(t, err)
	return port
}

// name answers every question with the address of the cable.
func (c *cable) name(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	c.mu.Lock()
	out := c.out
	c.mu.Unlock()
	switch name := q.Question[0].Name; {
	case out:
		m.Rcode = dns.RcodeServerFailure
	case !strings.HasSuffix(name, "demo.example."):
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeA:
		rr, err := dns.NewRR(name + " 1 IN A " + c.ip)
		if err == nil {
			m.Answer = append(m.Answer, rr)
		}
	}
	w.WriteMsg(m) // The client has gone: nobody to tell.
}

func (c *cable) serve(ln net.Listener, port string, wg *sync.WaitGroup) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c.ip)}}
	for {
		near, err := ln.Accept()
		if err != nil {
			return
		}
		far, err := from.Dial("tcp", "127.0.0.1:"+port)
		if err != nil || !c.take(near, far) {
			near.Close()
			if far != nil {
				far.Close()
			}
			continue
		}
		wg.Go(func() { c.carry(far, near, nil) })
		wg.Go(func() { c.carry(near, far, func() bool { return c.isMuted(port) }) })
	}
}

// take reports whether the cable is plugged in, and then owns the connections.
func (c *cable) take(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return false
	}
	for _, conn := range conns {
		c.conns[conn] = true
	}
	return true
}

// carry copies from src to dst, dropping what is lost.
func (c *cable) carry(dst, src net.Conn, lost func() bool) {
	defer func() {
		dst.Close()
		src.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, dst)
		delete(c.conns, src)
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && (lost == nil || !lost()) {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *cable) isMuted(port string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.muted[port]
}

// mute loses every answer of the service at a port from now on.
func (c *cable) mute(port string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muted[port] = true
}

// pull cuts all connections; there are no new ones until plug.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = true
	for conn := range c.conns {
		conn.Close()
	}
}

// plug brings the network back, whole.
func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = false
	clear(c.muted)
}
