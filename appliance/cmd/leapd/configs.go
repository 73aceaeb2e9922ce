package main

import (
	"fmt"
	"net/netip"

	"leap.example/appliance/dev"
	"leap.example/services/ca"
	"leap.example/services/dns"
	"leap.example/services/nickserver"
	"leap.example/services/soledad"
	"leap.example/services/tapicero"
	"leap.example/services/webapp"
)

// section is one member of a configuration: a value of a Config type.
type sections map[string]any

// devConfigs returns the configuration of each service of p. They pass through
// JSON and through the same builders as on a node.
func devConfigs(p dev.Provider) (map[string]sections, error) {
	keys, err := p.DKIM()
	if err != nil {
		return nil, err
	}
	web, err := devWebapp(p)
	if err != nil {
		return nil, err
	}
	zone, err := devZone(p, keys)
	if err != nil {
		return nil, err
	}
	all := map[string]sections{
		"couchsetup": {"couch": devCouch(p, "admin")},
		"webapp":     {"webapp": web, "couch": devCouch(p, "webapp")},
		"ca": {
			"ca": ca.Config{
				Domain: p.Domain, KeyFile: p.Path("ca", "client_ca.key"), CertFile: p.Path("ca", "client_ca.crt"), PoolSize: 10,
			},
			"couch": devCouch(p, "ca"),
		},
		"tapicero": {"tapicero": tapicero.Config{}, "couch": devCouch(p, "tapicero")},
		"nickserver": {
			"nickserver": nickserver.Config{
				Listen: p.Addr(dev.PortNickserver), WKDListen: p.Addr(dev.PortWKD), Domain: p.Domain,
				CertFile: p.Path("certs", "server.crt"), KeyFile: p.Path("certs", "server.key"), LegacyClients: true,
			},
			"couch": devCouch(p, "nickserver"),
		},
		"soledad": {
			"soledad": soledad.Config{
				Listen: p.Addr(dev.PortSoledad), CertFile: p.Path("certs", "server.crt"), KeyFile: p.Path("certs", "server.key"),
			},
			"couch": devCouch(p, "soledad"),
		},
		"mx":    {"mx": devMX(p), "couch": devCouch(p, "leap_mx")},
		"relay": {"relay": devRelay(p, keys), "couch": devCouch(p, "relay")},
		"dns":   {"dns": zone},
	}
	if gateways := devGateways(p); len(gateways) == 1 {
		all["gateway"] = sections{"gateway": gateways[0]}
	}
	if len(p.Databases()) == 0 {
		all["bigcouch"] = sections{"bigcouch": devDatabase(p)}
	}
	return all, nil
}

func devWebapp(p dev.Provider) (webapp.Config, error) {
	e, err := p.Endpoints()
	if err != nil {
		return webapp.Config{}, err
	}
	cert, key := p.Path("certs", "server.crt"), p.Path("certs", "server.key")
	return webapp.Config{
		Domain: p.Domain,
		Listen: p.Addr(dev.PortAPI), CertFile: cert, KeyFile: key,
		WebListen: p.Addr(dev.PortWeb), WebCertFile: cert, WebKeyFile: key,
		ProviderFile: p.Path("provider.json"), CAFile: p.Path("ca", "ca.crt"), ServiceDir: p.Path("service-definitions"),
		GatewaysFile: p.Path("service-definitions", "gateways.json"),
		MXKeyFiles:   []string{p.Path("mx", "signing.pub")}, SecretFile: p.Path("webapp", "secret"),
		LegacyClients: true, Admins: []string{adminLogin}, MonitorTokenFile: p.Path("webapp", "monitor.token"),
		Bootstrap: fmt.Sprintf("leapc provider add %s --ca-fingerprint '%s' --resolver %s", e.Bootstrap, e.Fingerprint, e.Resolver),
	}, nil
}

// devZone is the provider's zone, all of it on loopback.
func devZone(p dev.Provider, keys []dev.DKIM) (dns.Config, error) {
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	usual := dns.ConfigProvider{Domain: p.Domain, MX: []string{"mx"}}
	for _, name := range dev.Hosts {
		usual.Hosts = append(usual.Hosts, dns.ConfigHost{Name: name, Addresses: loopback})
	}
	for _, k := range keys {
		usual.DKIM = append(usual.DKIM, dns.ConfigDKIM{Selector: k.Selector, Algorithm: k.Algorithm, PublicKey: k.PublicKey})
	}
	if err := usual.Validate(); err != nil {
		return dns.Config{}, err
	}
	return dns.Config{
		Zones: []dns.ConfigZone{{
			Name: p.Domain, SOA: dns.ConfigSOA{Serial: 1}, NameServers: []string{"ns." + p.Domain}, TTL: 60, Records: usual.Records(),
		}},
		Resolver: dns.ConfigResolver{Listen: []string{p.Addr(dev.PortDNS)}},
	}, nil
}
