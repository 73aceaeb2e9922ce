package main

import (
	"net/netip"

	"leap.example/appliance/dev"
	"leap.example/services/mx"
	"leap.example/services/relay"
)

// devMX is the mail server of a provider on loopback, where every peer is the
// developer: it has no limits by network.
func devMX(p dev.Provider) mx.Config {
	return mx.Config{
		Listen: p.Addr(dev.PortMX), Hostname: "mx." + p.Domain, Domains: []string{p.Domain},
		CertFile: p.Path("certs", "server.crt"), KeyFile: p.Path("certs", "server.key"),
		SigningKeyFile: p.Path("mx", "signing.key"), QueueSecretFile: p.Path("mx", "queue.secret"),
		Resolver: p.Addr(dev.PortDNS), SpoolDir: p.Path("mx", "spool"),
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}
}

// devRelay is the relay of a provider on loopback. Mail of its own domain goes
// to its mail server; for other domains it asks the provider's DNS, which has
// no upstreams: such mail waits in the queue.
func devRelay(p dev.Provider, keys []dev.DKIM) relay.Config {
	c := relay.Config{
		ListenTLS: p.Addr(dev.PortSubmissions), ListenSTARTTLS: p.Addr(dev.PortSubmission),
		Hostname: "smtp." + p.Domain, Domains: []string{p.Domain},
		CertFile: p.Path("certs", "server.crt"), KeyFile: p.Path("certs", "server.key"),
		ClientCAFile: p.Path("ca", "client_ca.crt"), QueueKeyFile: p.Path("relay", "queue.key"),
		MX:       relay.ConfigHop{Address: p.Addr(dev.PortMX), Name: "mx." + p.Domain, CAFile: p.Path("ca", "ca.crt")},
		Resolver: p.Addr(dev.PortDNS),
	}
	for _, k := range keys {
		c.DKIM = append(c.DKIM, relay.ConfigDKIM{Selector: k.Selector, KeyFile: k.KeyFile})
	}
	return c
}
