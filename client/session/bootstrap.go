package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// providerPath is where provider.json lies, at the domain and at the API.
const providerPath = "/provider.json"

// Bootstrap fetches and pins the documents of the provider at domain, which
// may carry a port. It returns a *provider.FingerprintError when the CA is not
// the one named, a *OldClientError when this client is too old, Unavailable
// when nobody answers; then nothing was stored.
func Bootstrap(ctx context.Context, domain string, opt Options) (*Provider, error) {
	domain = strings.ToLower(domain)
	var ca []byte
	roots := opt.Roots
	if opt.CAFingerprint != "" {
		pem, cert, err := fetchCA(ctx, opt, "https://"+domain+"/ca.crt")
		if err != nil {
			return nil, err
		}
		if err := provider.CheckFingerprint(opt.CAFingerprint, cert.Raw); err != nil {
			return nil, err
		}
		ca, roots = pem, x509.NewCertPool()
		roots.AddCert(cert)
	}
	hc := httpClient(opt.transport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	defer hc.CloseIdleConnections()
	r, err := do(ctx, hc, call{method: http.MethodGet, url: "https://" + domain + providerPath})
	if err := opt.checkVersion(r.header); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	doc, err := provider.Parse(r.body)
	if err != nil {
		return nil, err
	}
	if doc.Domain != hostOf(domain) {
		return nil, problem.Invalid.Errorf("provider.json is that of %s, not of %s", doc.Domain, hostOf(domain))
	}
	if ca == nil {
		if ca, _, err = fetchCA(ctx, opt, doc.CACertURI); err != nil {
			return nil, err
		}
	}
	p, err := newProvider(opt, state{
		Version: stateVersion, Resolver: opt.Resolver, CAFingerprint: opt.CAFingerprint, CA: ca,
		Documents: map[string]document{providerPath: {Body: r.body}}, // Without a date: the API's copy is asked for soon.
	})
	if err != nil {
		return nil, err
	}
	return p, p.save()
}

func hostOf(domain string) string {
	if host, _, err := net.SplitHostPort(domain); err == nil {
		return host
	}
	return domain
}

// fetchCA downloads a CA certificate without verification: what it is worth is
// known only after its fingerprint was compared.
func fetchCA(ctx context.Context, opt Options, uri string) (pem []byte, cert *x509.Certificate, err error) {
	hc := httpClient(opt.transport(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}))
	defer hc.CloseIdleConnections()
	r, err := do(ctx, hc, call{method: http.MethodGet, url: uri})
	if err != nil {
		return nil, nil, err
	}
	cert, err = certs.ParseCert(r.body)
	return r.body, cert, err
}
