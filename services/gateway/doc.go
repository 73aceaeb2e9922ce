// Package gateway admits clients to the VPN: who shows a certificate of the
// provider's client CA gets a place on WireGuard for a while (vpn.md 5, 6).
package gateway
