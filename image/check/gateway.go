package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/services/protocol/lease"
	public "leap.example/services/protocol/provider"
)

// gateway looks at the lease API of the VPN as users meet it, at each address and
// port: its certificate, that it turns strangers away, and, if there is a
// certificate to show, that it admits users. No lease is asked for.
func (c *checker) gateway(ctx context.Context) {
	roots, err := c.own()
	if err != nil {
		c.add("gateway", node.CheckFail, err.Error(), "leap cert ca")
		return
	}
	var errs []error
	var end time.Time
	at := leaseAPIs(c)
	for _, a := range at {
		conn, err := c.dialAt(ctx, a)
		if err == nil {
			var over *tls.Conn
			if over, end, err = c.handshake(ctx, conn, c.Instance.FullName(c.Node), roots); err == nil {
				_ = over.Close() // What follows has its own.
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", a, err))
		}
	}
	if len(errs) > 0 {
		c.add("gateway.tls", node.CheckFail, errors.Join(errs...).Error(), c.logs("gateway"))
		return
	}
	c.ends("gateway.tls", c.Instance.FullName(c.Node), end)
	// Whatever it answers, it has let them in: TLS is to turn them away.
	if status, _, err := c.leaseAPI(at[0], roots, tls.Certificate{}).do(ctx, http.MethodGet, lease.PathStatus, "", nil); err == nil {
		c.add("gateway.strangers", node.CheckFail, fmt.Sprintf("it answers those who have no certificate, with status %d", status), c.logs("gateway"))
	} else {
		c.good("gateway.strangers", "it admits nobody without a certificate")
	}
	if c.Member == nil {
		return
	}
	pair, err := c.Member(c.Node.Environment)
	if err != nil {
		c.add("gateway.users", node.CheckWarn, err.Error(), "only who may deploy can try")
		return
	}
	s, err := leaseStatus(ctx, c.leaseAPI(at[0], roots, pair))
	c.judge("gateway.users", err, fmt.Sprintf("it admits users; its load is %d of %d", s.Load, lease.MaxLoad), c.logs("gateway"))
}

// leaseAPIs are the addresses of the API of IPv4, or of IPv6 if there are no
// others: not everybody who looks has IPv6.
func leaseAPIs(c *checker) (list []netip.AddrPort) {
	entries := c.Node.Entries()
	for _, six := range []bool{false, true} {
		for _, a := range entries {
			for _, port := range c.Node.VPN.TLSPorts {
				if a.Is6() == six {
					list = append(list, netip.AddrPortFrom(a, port))
				}
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return list
}

func (c *checker) dialAt(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialFor)
	defer cancel()
	return c.Dial(ctx, "tcp", at.String())
}

// leaseAPI is that of a gateway at one of its addresses, for whom a certificate names.
func (c *checker) leaseAPI(at netip.AddrPort, roots *x509.CertPool, pair tls.Certificate) *site {
	s := c.newSite(c.Instance.FullName(c.Node), at.Port(), roots)
	t := s.http.Transport.(*http.Transport)
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialAt(ctx, at) }
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return s
}

// leaseStatus asks a gateway how busy it is.
func leaseStatus(ctx context.Context, s *site) (lease.Status, error) {
	text, err := s.get(ctx, lease.PathStatus, http.StatusOK)
	if err != nil {
		return lease.Status{}, err
	}
	return lease.ParseStatus(text)
}

// gateways compares what clients are told of the VPN with the instance.
func (c *checker) gateways(ctx context.Context, s *site) error {
	want := compile.Gateways(c.Instance, c.Node.Environment)
	text, err := s.get(ctx, public.PathGateways, http.StatusOK)
	if err != nil {
		return err
	}
	got, err := public.ParseGateways(text)
	if err != nil {
		return err
	}
	var sick []string
	for _, g := range want.Gateways {
		k := slices.IndexFunc(got.Gateways, func(o public.Gateway) bool { return o.Name == g.Name })
		switch {
		case g.Private && k >= 0:
			return fmt.Errorf("everybody is shown the private gateway %s", g.Name)
		case !g.Private && k < 0:
			return fmt.Errorf("clients are not told of the gateway %s", g.Name)
		case k >= 0 && !got.Gateways[k].Healthy:
			sick = append(sick, g.Name)
		}
	}
	if len(sick) > 0 {
		return fmt.Errorf("clients are told that these gateways are not healthy: %s", strings.Join(sick, " "))
	}
	return nil
}
