package replicate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const dialTimeout = 10 * time.Second

var errNoResolver = &Error{Name: noName, Reason: "a name, and no resolver is configured"}

// A Network is what a replication may reach.
type Network struct {
	Resolver string         // DNS server, host:port. Empty: no name but "localhost" is known.
	CAFile   string         // Certificates that sign peers' own, in PEM. Empty: the system's.
	Internal bool           // Any address. Else those of the internet.
	Allowed  []netip.Prefix // Without Internal: these too.
}

// Transport returns what connects to peers elsewhere. It asks the resolver,
// never the system's.
func (n Network) Transport() (*http.Transport, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if n.CAFile != "" {
		pem, err := os.ReadFile(n.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of peers: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("the file of certificates of peers has none")
		}
	}
	d := &net.Dialer{Timeout: dialTimeout, Control: n.control, Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, n.Resolver)
		},
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			switch {
			case err != nil || net.ParseIP(host) != nil:
			case strings.EqualFold(strings.TrimSuffix(host, "."), "localhost"):
				address = net.JoinHostPort("127.0.0.1", port) // RFC 6761, 6.3: asks nobody.
			case n.Resolver == "":
				return nil, errNoResolver
			case !strings.HasSuffix(host, "."):
				address = net.JoinHostPort(host+".", port) // Not in a domain that the system's configuration names.
			}
			return d.DialContext(ctx, network, address)
		},
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true,
	}, nil
}

// control refuses addresses that are not allowed. It sees what a name has been
// resolved to.
func (n Network) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return errorf("forbidden", "an address that is none")
	}
	if n.Internal || public(at.Addr().Unmap()) || slices.ContainsFunc(n.Allowed, func(p netip.Prefix) bool { return p.Contains(at.Addr().Unmap()) }) {
		return nil
	}
	return &Error{http.StatusForbidden, "forbidden", "only server administrators may replicate with addresses of this network"}
}

// inner are networks that are not the internet, beside those that netip knows.
var inner = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(inner, func(p netip.Prefix) bool { return p.Contains(a) })
}
