package userspace

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

const (
	askTimeout = 5 * time.Second // Of one question to one resolver.
	askRounds  = 2               // A datagram may be lost.
)

// dial connects to host:port through the tunnel, a name being resolved by the
// lease's resolvers: nothing of this computer's own configuration is asked.
func (t *tunnel) dial(ctx context.Context, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := t.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		var c net.Conn
		if c, err = t.net.dialTCP(ctx, netip.AddrPortFrom(a, uint16(port))); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// resolve returns the addresses of host in the families of the tunnel, at
// least one.
func (t *tunnel) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap().WithZone(""); a.Is4() && t.net.v4 || a.Is6() && t.net.v6 {
			return []netip.Addr{a}, nil
		}
		return nil, fmt.Errorf("the tunnel does not carry addresses of this family")
	}
	if _, ok := dns.IsDomainName(host); !ok {
		return nil, fmt.Errorf("no name of a host")
	}
	var all []netip.Addr
	var failed error
	for _, q := range []struct {
		kind uint16
		has  bool
	}{{dns.TypeA, t.net.v4}, {dns.TypeAAAA, t.net.v6}} {
		if !q.has {
			continue
		}
		addrs, err := t.ask(ctx, host, q.kind)
		if err != nil {
			failed = err
		}
		all = append(all, addrs...)
	}
	if len(all) == 0 && failed == nil {
		failed = fmt.Errorf("the name has no address")
	}
	if len(all) > 0 {
		failed = nil
	}
	return all, failed
}

// ask puts one question to the lease's resolvers, one after the other.
func (t *tunnel) ask(ctx context.Context, host string, kind uint16) ([]netip.Addr, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(host), kind)
	q.SetEdns0(dns.DefaultMsgSize/4, false)
	var failed error
	for range askRounds {
		for _, server := range t.link.DNS {
			r, err := t.exchange(ctx, q, server)
			if err == nil && r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
				err = fmt.Errorf("the resolver says %s", dns.RcodeToString[r.Rcode])
			}
			if err == nil {
				return addresses(r), nil
			}
			failed = err
		}
	}
	return nil, failed
}

// exchange asks one resolver, by TCP when the answer does not fit otherwise.
func (t *tunnel) exchange(ctx context.Context, q *dns.Msg, server netip.Addr) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	to := netip.AddrPortFrom(server, 53)
	c, err := t.net.dialUDP(to)
	if err != nil {
		return nil, err
	}
	r, err := converse(ctx, c, q)
	if err != nil || !r.Truncated {
		return r, err
	}
	if c, err = t.net.dialTCP(ctx, to); err != nil {
		return nil, err
	}
	return converse(ctx, c, q)
}

// converse asks over c and closes it.
func converse(ctx context.Context, c net.Conn, q *dns.Msg) (*dns.Msg, error) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	r, _, err := (&dns.Client{Timeout: askTimeout}).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: c})
	return r, err
}

// addresses returns what an answer holds.
func addresses(r *dns.Msg) []netip.Addr {
	var list []netip.Addr
	for _, rr := range r.Answer {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, a.Unmap())
		}
	}
	return list
}
