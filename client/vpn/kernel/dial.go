package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// dialTimeout is the most that a connection may take to be made.
const dialTimeout = 20 * time.Second

// Dial connects a marked socket, to another computer: who asks must not be taken
// for root by the services of this one. The kernel holds it to the policy of each
// moment, so that a connection starves whose address a later one does not name.
func (p *Path) Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	if network != "tcp" && network != "udp" {
		return nil, problem.Invalid.Errorf("unknown network: tcp and udp are possible")
	}
	q := p.current()
	if q.Mode == policy.Open {
		return nil, problem.Permission.Errorf("traffic is open: nobody needs the helper to connect")
	}
	if addr.Addr().IsLoopback() || !slices.Contains(q.Reach, addr) {
		return nil, problem.Permission.Errorf("the policy does not name this address to be reached")
	}
	c, err := dialer().DialContext(ctx, network, addr.String())
	if err != nil {
		return nil, problem.Unavailable.Errorf("reaching the address outside the tunnel: %w", reason(err))
	}
	return c, nil
}

// dialer makes sockets with the mark.
func dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(ours)) })
		if err == nil {
			err = failed
		}
		return err
	}}
}

// reason is why a socket failed, without the addresses that package net writes
// into its errors.
func reason(err error) error {
	var late net.Error
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number
	case errors.As(err, &late) && late.Timeout():
		return errors.New("no answer in time")
	}
	return errors.New("no connection")
}
