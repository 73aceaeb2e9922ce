package dnssectest

import (
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// ServeDNS answers by UDP and TCP.
func (w *World) ServeDNS(rw dns.ResponseWriter, q *dns.Msg) {
	m := w.Answer(q)
	size := dns.MaxMsgSize
	if rw.RemoteAddr().Network() == "udp" {
		size = dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
	}
	m.Truncate(size)
	_ = rw.WriteMsg(m) // Who has gone away does not wait for it.
}

// Serve serves the world on a loopback port of both transports until the test
// ends, and returns its address.
func (w *World) Serve(t testing.TB) string {
	t.Helper()
	for range 20 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(ln.Addr().String())))
		if err != nil {
			ln.Close() // Another process has the UDP port: draw again.
			continue
		}
		run(t, &dns.Server{PacketConn: pc, Handler: w})
		run(t, &dns.Server{Listener: ln, Handler: w})
		return ln.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}

func run(t testing.TB, s *dns.Server) {
	up, done := make(chan struct{}), make(chan error, 1)
	s.NotifyStartedFunc = func() { close(up) }
	go func() { done <- s.ActivateAndServe() }()
	<-up
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
}
