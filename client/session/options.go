package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Version is the version that this client tells a provider's
// X-Minimum-Client-Version is compared with.
const Version = "1.0.0"

// Options say how a provider is reached. The zero value is usable.
type Options struct {
	// Resolver is the address (host:port) of the DNS server that answers every
	// question. Empty: the system's.
	Resolver string
	// CAFingerprint is the fingerprint of the provider's CA ("SHA256: hex"),
	// known from elsewhere. Empty: the public CAs vouch for it.
	CAFingerprint string
	// Roots are the public CAs. Nil: the system's.
	Roots *x509.CertPool
	// Dir is the existing directory where the provider's documents are kept.
	// Empty: they are not.
	Dir string
	// Version of this client, for X-Minimum-Client-Version. Empty: Version.
	Version string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// dialer returns the dialer that asks the configured resolver.
func (o Options) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if o.Resolver != "" {
		d.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, o.Resolver)
		}}
	}
	return d
}

// transport returns a transport with this configuration of TLS. A long poll
// waits up to 60 s for its answer. Over HTTP/2 a server that is silent is asked
// whether it is there: one that has lost its power would otherwise keep the
// connection, and all requests that are put on it, for as long as TCP is patient.
func (o Options) transport(cfg *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:           o.dialer().DialContext,
		TLSClientConfig:       cfg,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 90 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

func httpClient(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// An OldClientError says that the provider asks for a newer client. Its user
// must update; nothing else helps.
type OldClientError struct{ Have, Min string }

func (e *OldClientError) Error() string {
	return fmt.Sprintf("this client is version %s, the provider asks for %s or newer", e.Have, e.Min)
}

// checkVersion honours X-Minimum-Client-Version. A header that is no version
// asks for nothing.
func (o Options) checkVersion(h http.Header) error {
	lowest := h.Get("X-Minimum-Client-Version")
	have := o.Version
	if have == "" {
		have = Version
	}
	if older(have, lowest) {
		return &OldClientError{Have: have, Min: lowest}
	}
	return nil
}

// older compares versions of dot-separated numbers; missing ones are 0.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		m, n := part(x, i), part(y, i)
		if m != n {
			return m < n
		}
	}
	return false
}

func part(v []string, i int) int {
	if i >= len(v) {
		return 0
	}
	n, err := strconv.Atoi(v[i])
	if err != nil {
		return 0
	}
	return n
}
