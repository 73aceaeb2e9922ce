package dev

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/provider"
)

// MaxGateways is how many gateways there can be.
const MaxGateways = 3

// A Gateway is one of the VPN. Users come in at loopback; their traffic leaves by
// an address of loopback that is the gateway's own, so that it can be told from
// that of others.
type Gateway struct {
	Name      string     `json:"name"`
	Host      string     `json:"host"`      // Name in its certificate.
	Lease     string     `json:"lease"`     // host:port, TCP.
	WireGuard string     `json:"wireguard"` // host:port, UDP.
	Egress    netip.Addr `json:"egress"`
	PIDFile   string     `json:"pid_file,omitempty"` // Of a process of its own, written when it starts.

	CertFile, CertKey, WGKeyFile, RunDir string `json:"-"`
	Config                               string `json:"-"` // Of a process of its own.
}

// Gateways returns the gateways. A single one is in the provider's own process;
// several are processes of their own.
func (p Provider) Gateways() (list []Gateway) {
	for i := range max(1, p.VPN) {
		name := "gw-" + string(rune('a'+i))
		g := Gateway{
			Name: name, Host: name + "." + p.Domain, Lease: p.Addr(PortLease + i), WireGuard: p.Addr(PortWireGuard + i),
			Egress:   netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)}),
			CertFile: p.Path("certs", name+".crt"), CertKey: p.Path("certs", name+".key"),
			WGKeyFile: p.Path("gateway", name+".key"), RunDir: p.Path("gateway", name),
		}
		if p.VPN > 1 {
			g.Config, g.PIDFile = p.Path("gateway", name+".json"), p.Path("gateway", name+".pid")
		}
		list = append(list, g)
	}
	return list
}

// gatewayFiles makes what the gateways need.
func (p Provider) gatewayFiles() error {
	if p.VPN < 0 || p.VPN > MaxGateways {
		return fmt.Errorf("--gateways %d: choose 1 to %d", p.VPN, MaxGateways)
	}
	ca, key, err := p.ca("ca", false)
	if err != nil {
		return err
	}
	for _, g := range p.Gateways() {
		if err := p.leaf(ca, key, g.Name, []string{g.Host}); err != nil {
			return err
		}
		if err := p.once(wireGuardKey, "gateway", g.Name+".key"); err != nil {
			return err
		}
		if err := os.MkdirAll(g.RunDir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// gatewayList is what clients are told of the gateways.
func (p Provider) gatewayList() (provider.GatewayList, error) {
	l := provider.GatewayList{Gateways: []provider.Gateway{}, Locations: map[string]provider.Location{
		"loopback": {Name: "Loopback", CountryCode: "XX", Timezone: "+0", Hemisphere: "N"},
		"far_away": {Name: "Far away", CountryCode: "XX", Timezone: "+12", Hemisphere: "S"},
	}}
	for i, g := range p.Gateways() {
		api, err := netip.ParseAddrPort(g.Lease)
		if err != nil {
			return l, err
		}
		wg, err := netip.ParseAddrPort(g.WireGuard)
		if err != nil {
			return l, err
		}
		place := "loopback"
		if i > 0 {
			place = "far_away"
		}
		l.Gateways = append(l.Gateways, provider.Gateway{
			Name: g.Name, Host: g.Host, Addresses: []netip.Addr{api.Addr()}, LeasePorts: []uint16{api.Port()}, Location: place,
			Transports: []provider.GatewayTransport{{Proto: lease.UDP, Ports: []uint16{wg.Port()}}, {Proto: lease.UDP2TCP, Ports: []uint16{api.Port()}}},
			Plans:      []lease.Plan{lease.Unlimited},
		})
	}
	return l, l.Validate()
}

// wireGuardKey returns a private key as wg(8) writes it.
func wireGuardKey() ([]byte, error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, k.Bytes()), nil
}
