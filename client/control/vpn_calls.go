package control

import (
	"context"
	"net/http"
)

// vpnRoutes are the calls of package control about the VPN.
func (s *Server) vpnRoutes(mux *http.ServeMux) {
	v := s.vpn
	mux.HandleFunc("GET /v1/vpn", answer(s, func(r *http.Request, _ none) (any, error) { return v.VPNStatus(r.Context()), nil }))
	mux.HandleFunc("POST /v1/vpn/up", answer(s, func(r *http.Request, q VPNUpRequest) (any, error) { return none{}, v.VPNUp(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/down", answer(s, func(r *http.Request, _ none) (any, error) { return none{}, v.VPNDown(r.Context()) }))
	mux.HandleFunc("POST /v1/vpn/gateways", answer(s, func(r *http.Request, q VPNGatewaysRequest) (any, error) { return v.VPNGateways(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/use", answer(s, func(r *http.Request, q VPNChoice) (any, error) { return none{}, v.VPNUse(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/set", answer(s, func(r *http.Request, q VPNSettings) (any, error) { return none{}, v.VPNSet(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/portal", answer(s, func(r *http.Request, q VPNPortal) (any, error) { return none{}, v.VPNPortal(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/export", answer(s, func(r *http.Request, q VPNChoice) (any, error) { return v.VPNExport(r.Context(), q) }))
	mux.HandleFunc("POST /v1/vpn/import", answer(s, func(r *http.Request, q VPNCertificate) (any, error) { return none{}, v.VPNImport(r.Context(), q) }))
}

// VPNStatus is VPN.VPNStatus. Unlike there it can fail.
func (c *Client) VPNStatus(ctx context.Context) (VPNStatus, error) {
	return call[VPNStatus](ctx, c, "GET", "/v1/vpn", nil)
}

// VPNUp is VPN.VPNUp.
func (c *Client) VPNUp(ctx context.Context, q VPNUpRequest) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/up", q)
	return err
}

// VPNDown is VPN.VPNDown.
func (c *Client) VPNDown(ctx context.Context) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/down", none{})
	return err
}

// VPNGateways is VPN.VPNGateways.
func (c *Client) VPNGateways(ctx context.Context, q VPNGatewaysRequest) (VPNGateways, error) {
	return call[VPNGateways](ctx, c, "POST", "/v1/vpn/gateways", q)
}

// VPNUse is VPN.VPNUse.
func (c *Client) VPNUse(ctx context.Context, q VPNChoice) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/use", q)
	return err
}

// VPNSet is VPN.VPNSet.
func (c *Client) VPNSet(ctx context.Context, q VPNSettings) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/set", q)
	return err
}

// VPNPortal is VPN.VPNPortal.
func (c *Client) VPNPortal(ctx context.Context, q VPNPortal) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/portal", q)
	return err
}

// VPNExport is VPN.VPNExport.
func (c *Client) VPNExport(ctx context.Context, q VPNChoice) (VPNConfig, error) {
	return call[VPNConfig](ctx, c, "POST", "/v1/vpn/export", q)
}

// VPNImport is VPN.VPNImport.
func (c *Client) VPNImport(ctx context.Context, q VPNCertificate) error {
	_, err := call[none](ctx, c, "POST", "/v1/vpn/import", q)
	return err
}
