package session

import (
	"context"
	"net"
	"net/http"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// A Door is the provider's API by a way of the caller's own: while the VPN
// blocks traffic there is one, and names are not resolved by the system. It
// trusts what the Provider trusted when it was made.
type Door struct {
	p  *Provider
	hc *http.Client
}

// Door returns one whose connections dial makes. Close it.
func (p *Provider) Door(dial func(ctx context.Context, network, address string) (net.Conn, error)) *Door {
	t := p.opt.transport(p.TLS())
	t.DialContext = dial
	return &Door{p, httpClient(t)}
}

// Close drops its connections.
func (d *Door) Close() { d.hc.CloseIdleConnections() }

// VPNCert fetches a certificate for the VPN: its private key and itself, PEM.
// Nothing in it tells whose it is. Without a token it is asked for
// anonymously: Unauthenticated where the provider gives them to its users only.
func (d *Door) VPNCert(ctx context.Context, token string) ([]byte, error) {
	r, err := do(ctx, d.hc, call{method: http.MethodPost, url: d.p.api("/1/cert"), token: token, form: []byte{}})
	if err != nil {
		return nil, err
	}
	if _, _, err := certs.SplitPEM(r.body); err != nil {
		return nil, problem.Invalid.Errorf("the provider's answer is no certificate with its key: %w", err)
	}
	return r.body, nil
}

// Gateways fetches the list of VPN gateways. Whoever has an invite token also
// sees the private ones that it is for; "" is none. The answer is checked and
// returned as it is, to be kept. NotExist: the provider has no VPN.
func (d *Door) Gateways(ctx context.Context, invite string) ([]byte, error) {
	c := call{method: http.MethodGet, url: d.p.api(provider.PathGateways), header: map[string]string{}}
	if invite != "" {
		c.header[provider.GatewayTokenHeader] = invite
	}
	r, err := do(ctx, d.hc, c)
	if err != nil {
		return nil, err
	}
	_, err = provider.ParseGateways(r.body)
	return r.body, err
}

// CA returns the certificate of the provider's CA, PEM: the one that everything
// of this provider is verified by.
func (p *Provider) CA() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.CA
}

// API returns host:port of the account API.
func (p *Provider) API() (string, error) {
	req, err := http.NewRequest(http.MethodGet, p.api("/"), nil)
	if err != nil {
		return "", problem.Invalid.Errorf("malformed address of the API")
	}
	if req.URL.Port() == "" {
		return net.JoinHostPort(req.URL.Hostname(), "443"), nil
	}
	return req.URL.Host, nil
}

// Resolver returns the address of the DNS server that was named when the
// provider was chosen; "" is the system's.
func (p *Provider) Resolver() string { return p.opt.Resolver }
