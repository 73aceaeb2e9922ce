package upstream

import (
	"context"
	"net"

	"github.com/miekg/dns"
)

// plain asks by UDP, and by TCP if the answer is truncated.
func (s *server) plain(ctx context.Context, q Query) (*dns.Msg, error) {
	m, err := s.once(ctx, "udp", q)
	if err == nil && m.Truncated {
		m, err = s.once(ctx, "tcp", q)
	}
	return m, err
}

// once makes one exchange over a connection of its own: the kernel gives it a
// random port, and a connected socket takes answers from its peer alone.
func (s *server) once(ctx context.Context, network string, q Query) (*dns.Msg, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, s.Addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, err := q.message(false)
	if err != nil {
		return nil, err
	}
	dc := &dns.Conn{Conn: conn, UDPSize: maxUDP}
	if err := dc.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		reply, err := dc.ReadMsg()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && (network == "tcp" || reply == nil) {
			return nil, err
		}
		if err == nil && answers(reply, m) {
			return reply, nil
		}
		if network == "tcp" {
			return nil, errStray
		}
	}
}
