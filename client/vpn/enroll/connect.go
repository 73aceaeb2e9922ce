package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"

	"leap.example/client/vpn/machine"
	"leap.example/services/protocol/problem"
)

// connect makes a connection to the first address of g that answers.
func (c *Client) connect(ctx context.Context, g machine.Gateway) (net.Conn, error) {
	failed := errors.New("the gateway has no address")
	for _, a := range g.Lease {
		var conn net.Conn
		if conn, failed = c.connectTo(ctx, g.Name, a); failed == nil {
			return conn, nil
		}
		if e, ok := errors.AsType[*Error](failed); ok && e.Fault != machine.Unreachable {
			return nil, failed // Another port of the same gateway is no better.
		}
	}
	return nil, failed
}

func (c *Client) connectTo(ctx context.Context, name string, a netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	raw, err := c.cfg.Dial(ctx, "tcp", a)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{
		RootCAs: c.roots, ServerName: name, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.cert},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, NextProtos: []string{"http/1.1"},
	})
	err = conn.HandshakeContext(ctx)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == remoteAlert { // Certificates are judged later, RFC 8446, 4.4.
		err = &Error{machine.Unwilling, "the gateway does not speak TLS 1.3 with us: try another one with \"leapc vpn use\"", problem.Invalid}
	}
	if err == nil && conn.ConnectionState().CurveID != tls.X25519MLKEM768 && !c.cfg.Classical {
		err = errClassical()
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// traceRemote has the address of the connection that a request uses stored.
func traceRemote(ctx context.Context, remote *netip.Addr) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if a, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil {
			*remote = a.Addr().Unmap()
		}
	}})
}
