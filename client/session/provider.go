package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// A Provider is a provider that this device trusts. It is safe for concurrent
// use.
type Provider struct {
	opt     Options
	trusted atomic.Pointer[http.Transport] // Trusts the CA in state alone.
	hc      *http.Client                   // Over trusted.
	public  *http.Client                   // Trusts the public CAs.

	mu    sync.Mutex // Guards what follows; never held during an exchange.
	doc   provider.Provider
	pool  *x509.CertPool
	state state
}

func newProvider(opt Options, st state) (*Provider, error) {
	p := &Provider{opt: opt, state: st}
	p.hc = httpClient(roundTripper{p})
	p.public = httpClient(opt.transport(&tls.Config{RootCAs: opt.Roots, MinVersion: tls.VersionTLS12}))
	doc, err := provider.Parse(st.Documents[providerPath].Body)
	if err != nil {
		return nil, err
	}
	return p, p.trust(doc, st.CA)
}

// trust makes ca the only CA. It is the one place where that happens.
func (p *Provider) trust(doc provider.Provider, ca []byte) error {
	cert, err := certs.ParseCert(ca)
	if err != nil {
		return err
	}
	if err := provider.CheckFingerprint(doc.CACertFingerprint, cert.Raw); err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(p.state.CA, ca) && p.pool != nil {
		p.doc = doc
		return nil
	}
	p.doc, p.pool, p.state.CA = doc, pool, ca
	if old := p.trusted.Swap(p.opt.transport(p.tls())); old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

// roundTripper uses whatever CA is trusted now.
type roundTripper struct{ p *Provider }

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.p.trusted.Load().RoundTrip(req)
}

// CloseIdleConnections is found by http.Client.
func (r roundTripper) CloseIdleConnections() { r.p.trusted.Load().CloseIdleConnections() }

// Close drops idle connections. The Provider stays usable.
func (p *Provider) Close() {
	p.hc.CloseIdleConnections()
	p.public.CloseIdleConnections()
}

// Document returns provider.json as it was last fetched.
func (p *Provider) Document() provider.Provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doc
}

// HTTP returns a client that trusts the provider's CA alone. It has no
// deadline of its own: the caller's context must.
func (p *Provider) HTTP() *http.Client { return p.hc }

// PublicHTTP returns a client that trusts the public CAs, for Web Key
// Directories of other domains. It has no deadline of its own.
func (p *Provider) PublicHTTP() *http.Client { return p.public }

// Dialer returns a dialer that asks the configured resolver.
func (p *Provider) Dialer() *net.Dialer { return p.opt.dialer() }

// TLS returns a configuration that trusts the provider's CA alone; the caller
// may change it.
func (p *Provider) TLS() *tls.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tls()
}

func (p *Provider) tls() *tls.Config {
	return &tls.Config{RootCAs: p.pool, MinVersion: tls.VersionTLS12}
}

// api returns the address of path in the account API.
func (p *Provider) api(path string) string {
	return strings.TrimSuffix(p.Document().APIURI, "/") + path
}

// Refresh fetches provider.json again from the API unless it is younger than
// maxAge. A new CA is taken over when provider.json, vouched for by the old
// one, names it; but not when the user named a fingerprint: then it is a
// *provider.FingerprintError.
func (p *Provider) Refresh(ctx context.Context, maxAge time.Duration) error {
	_, err := cached(ctx, p, providerPath, "", maxAge, func(body []byte) (provider.Provider, error) {
		doc, err := provider.Parse(body)
		if err != nil {
			return doc, err
		}
		return doc, p.adopt(ctx, doc)
	})
	return err
}

// adopt makes doc the document of this provider.
func (p *Provider) adopt(ctx context.Context, doc provider.Provider) error {
	p.mu.Lock()
	old, ca := p.doc, p.state.CA
	p.mu.Unlock()
	if doc.Domain != old.Domain {
		return problem.Invalid.Errorf("provider.json is that of %s, not of %s", doc.Domain, old.Domain)
	}
	if doc.CACertFingerprint != old.CACertFingerprint {
		var cert *x509.Certificate
		var err error
		if ca, cert, err = fetchCA(ctx, p.opt, doc.CACertURI); err != nil {
			return err
		}
		if pin := p.opt.CAFingerprint; pin != "" {
			if err := provider.CheckFingerprint(pin, cert.Raw); err != nil {
				return err
			}
		}
	}
	return p.trust(doc, ca)
}
