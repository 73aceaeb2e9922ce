package sender

import (
	"context"
	"net"
	"strings"
)

// A resolver asks one name server. Names are asked for as they are: the search
// list of the system does not apply.
type resolver struct{ net.Resolver }

func dial(address string) *resolver {
	return &resolver{net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}}
}

func rooted(name string) string { return strings.TrimSuffix(name, ".") + "." }

func (r *resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return r.Resolver.LookupTXT(ctx, rooted(name))
}

func (r *resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return r.Resolver.LookupMX(ctx, rooted(name))
}

func (r *resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	return r.Resolver.LookupIPAddr(ctx, rooted(host))
}
