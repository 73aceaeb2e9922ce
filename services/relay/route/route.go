// Package route finds the servers that take mail for a domain, RFC 5321, 5.1:
// its MX hosts in order, or the domain itself where there are none.
//
// It asks one resolver, named by the caller, never the system's. What cannot
// be so for ever is [Dead]; every other error is worth another attempt.
package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Dead says that a domain takes no mail, and why: a status of RFC 3463.
type Dead struct{ Status, Text string }

func (d *Dead) Error() string { return d.Text }

// Reasons why mail for a domain is never delivered.
var (
	ErrNoMail   = &Dead{"5.1.10", "the domain takes no mail"}                   // RFC 7505, 3.
	ErrNoDomain = &Dead{"5.1.2", "the domain does not exist, or has no server"} // Not even an address.
	ErrSelf     = &Dead{"5.4.6", "the domain's server is this one"}
	ErrInside   = &Dead{"5.4.4", "the domain's server is not on the internet"}
	ErrNoRoute  = &Dead{"5.4.4", "there is no way to other domains"}
)

// most bounds the addresses that are tried for one domain, and those of one
// host.
const (
	most     = 8
	mostHost = 3
)

// A Host is one place to try.
type Host struct {
	Name string // For TLS.
	Addr netip.Addr
}

// A Finder finds hosts. It may be used from any goroutine.
type Finder struct {
	dns     *net.Resolver
	self    string
	private bool
}

// New returns a Finder that asks the resolver at the address host:port; with
// an empty one it finds nothing. self is the name of this server, which gives
// up where it would send to itself. With private, hosts in networks that are
// not the internet's are found too.
func New(resolver, self string, private bool) *Finder {
	f := &Finder{self: strings.ToLower(self), private: private}
	if resolver != "" {
		f.dns = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, resolver)
		}}
	}
	return f
}

// Resolver returns the resolver that f asks; nil: none.
func (f *Finder) Resolver() *net.Resolver { return f.dns }

// Hosts returns where mail for domain, an ASCII name, may be handed over, in
// the order in which to try. The error is a *Dead or temporary.
func (f *Finder) Hosts(ctx context.Context, domain string) ([]Host, error) {
	if f.dns == nil {
		return nil, ErrNoRoute
	}
	names, err := f.names(ctx, domain)
	if err != nil {
		return nil, err
	}
	var hosts []Host
	var inside bool
	var away error
	for _, name := range names {
		addrs, err := f.dns.LookupNetIP(ctx, "ip", name+".")
		if err != nil && !notFound(err) {
			away = err
		}
		n := 0
		for _, a := range addrs {
			a = a.Unmap()
			if !f.private && !internet(a) {
				inside = true
				continue
			}
			if n++; n <= mostHost && len(hosts) < most {
				hosts = append(hosts, Host{name, a})
			}
		}
	}
	switch {
	case len(hosts) > 0:
		return hosts, nil
	case away != nil:
		return nil, fmt.Errorf("looking up a mail server: %w", away)
	case inside:
		return nil, ErrInside
	}
	return nil, ErrNoDomain
}

// names returns the names of the hosts, best first.
func (f *Finder) names(ctx context.Context, domain string) ([]string, error) {
	list, err := f.dns.LookupMX(ctx, domain+".")
	if err != nil && len(list) == 0 {
		if notFound(err) {
			return []string{domain}, nil // The implicit MX.
		}
		return nil, fmt.Errorf("looking up MX: %w", err)
	}
	if len(list) == 1 && list[0].Host == "." {
		return nil, ErrNoMail
	}
	var names []string
	for _, mx := range list { // By preference; equal ones at random.
		name := strings.ToLower(strings.TrimSuffix(mx.Host, "."))
		if name == f.self {
			// 5.1: this host and those less preferred are no way.
			if len(names) == 0 {
				return nil, ErrSelf
			}
			break
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func notFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

// internet reports whether an address can be another's mail server: users
// choose domains, and may not choose what this network has inside.
func internet(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// shared is the space of RFC 6598, which is not private and not the internet.
var shared = netip.MustParsePrefix("100.64.0.0/10")
