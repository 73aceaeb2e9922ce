package compile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leap.example/image/provider"
	"leap.example/services/dns"
)

// ZoneOf returns the zone of an environment's domain.
func ZoneOf(i *provider.Instance, env string, secrets map[string][]byte) (dns.ConfigZone, error) {
	p := i.Provider(env)
	keys, err := dkim(env, secrets)
	if err != nil {
		return dns.ConfigZone{}, err
	}
	usual := dns.ConfigProvider{
		Domain: p.Domain, DKIM: keys, DMARC: dns.ConfigDMARC{Policy: p.DNS.DMARCPolicy, Report: p.DNS.DMARCReport},
		TLSRPT: p.DNS.TLSReport, CAA: p.DNS.CAA,
	}
	for _, h := range i.Hosts(env) {
		host := dns.ConfigHost{Name: h.Name}
		host.Addresses = h.Addresses()
		usual.Hosts = append(usual.Hosts, host)
	}
	mxs, relays := i.In(env, "mx"), i.In(env, "relay")
	for _, n := range mxs {
		usual.MX = append(usual.MX, n.Name)
	}
	if err := usual.Validate(); err != nil {
		return dns.ConfigZone{}, fmt.Errorf("the zone of %s: %w", p.Domain, err)
	}
	z := dns.ConfigZone{Name: p.Domain, TTL: p.DNS.TTL, Records: slices.Concat(usual.Records(), p.DNS.Records)}
	if z.TTL == 0 {
		z.TTL = 3600
	}
	for k, r := range z.Records {
		// Mail goes out through the relays, RFC 7208, 5.3.
		if r.Type == "TXT" && r.Name == "" && r.Value == "v=spf1 mx -all" && !slices.Equal(mxs, relays) && len(relays) > 0 {
			z.Records[k].Value = "v=spf1 mx a:smtp." + p.Domain + " -all"
		}
	}
	for _, n := range i.NameServers(env) {
		z.NameServers = append(z.NameServers, i.FullName(n))
	}
	z.NameServers = append(z.NameServers, p.DNS.NameServers...)
	if len(p.Contacts) > 0 {
		z.SOA.Contact = p.Contacts[0]
	}
	z.SOA.Serial = serial(i, z).Serial
	return z, nil
}

// serial returns the serial number of a zone: it grows when the zone is not what
// is remembered.
func serial(i *provider.Instance, z dns.ConfigZone) provider.Serial {
	z.SOA.Serial = 0
	text, err := json.Marshal(z)
	if err != nil {
		panic(err) // Every type here can be written.
	}
	sum := sha256.Sum256(text)
	s := provider.Serial{Serial: i.Zones[z.Name].Serial, Digest: hex.EncodeToString(sum[:])}
	if s.Digest != i.Zones[z.Name].Digest {
		s.Serial++
	}
	return s
}

func dnsService(s *serviceCompiler) {
	zone, err := ZoneOf(s.i, s.n.Environment, s.c.secrets)
	if err != nil {
		s.failf("/services", "%v", err)
		return
	}
	made := dns.Config{}
	if len(zone.NameServers) > 0 { // Otherwise somebody else has the zone.
		made.Zones = []dns.ConfigZone{zone}
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	made.Resolver.Listen = []string{netip.AddrPortFrom(loopback, PortDNS).String()}
	made.Resolver.Allow = []netip.Prefix{netip.PrefixFrom(loopback, 8).Masked()}
	if s.n.IsNameServer() {
		for _, a := range nameServerAddresses(s.n) {
			made.Authoritative.Listen = append(made.Authoritative.Listen, netip.AddrPortFrom(a, PortDNS).String())
		}
		s.public(PortDNS, "tcp", "udp")
		made.Resolver.Listen = append(made.Resolver.Listen, s.mesh(PortDNS, "tcp", "udp"))
		made.Resolver.Allow = append(made.Resolver.Allow, s.p.Mesh.Network)
	}
	if s.n.Has("gateway") { // Its users ask at its own addresses in the tunnel.
		for k, p := range []netip.Prefix{s.n.VPN.IPv4, pool6(s.n)} {
			if !p.IsValid() {
				continue
			}
			protocols := []string{"tcp", "udp"}
			if k > 0 {
				protocols = nil // The listeners are there.
			}
			made.Resolver.Listen = append(made.Resolver.Listen, s.tunnel(p.Addr().Next(), PortDNS, protocols...))
			made.Resolver.Allow = append(made.Resolver.Allow, p)
		}
	}
	chosen := s.n.DNS
	s.section("dns", &chosen, made)
}

// listening are the addresses of a node's own cards, or those by which it is
// reached if they are given to it by DHCP.
func listening(n *provider.Node) (list []netip.Addr) {
	for _, i := range n.Network.Interfaces {
		for _, a := range i.Addresses {
			list = append(list, a.Addr())
		}
	}
	if len(list) == 0 {
		return n.Addresses()
	}
	return list
}

// ZoneText writes a zone as a file of RFC 1035, 5.
func ZoneText(z dns.ConfigZone) string {
	var s strings.Builder
	full := func(name string) string { return strings.TrimSuffix(name, ".") + "." }
	contact := z.SOA.Contact
	if contact == "" {
		contact = "hostmaster@" + z.Name
	}
	local, host, _ := strings.Cut(contact, "@")
	primary := "ns." + z.Name
	if len(z.NameServers) > 0 {
		primary = z.NameServers[0]
	}
	fmt.Fprintf(&s, "$ORIGIN %s\n$TTL %d\n@\tIN\tSOA\t%s %s %d 3600 600 1209600 300\n", full(z.Name), z.TTL,
		full(primary), strings.ReplaceAll(local, ".", `\.`)+"."+full(host), z.SOA.Serial)
	for _, ns := range z.NameServers {
		fmt.Fprintf(&s, "@\tIN\tNS\t%s\n", full(ns))
	}
	for _, r := range z.Records {
		name, ttl := r.Name, ""
		if name == "" {
			name = "@"
		}
		if r.TTL > 0 {
			ttl = fmt.Sprint(r.TTL)
		}
		fmt.Fprintf(&s, "%s\t%s\tIN\t%s\t%s\n", name, ttl, r.Type, value(r, full))
	}
	return s.String()
}

func value(r dns.ConfigRecord, full func(string) string) string {
	switch r.Type {
	case "MX":
		return fmt.Sprintf("%d %s", r.Priority, full(r.Value))
	case "CNAME":
		return full(r.Value)
	case "SRV":
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, full(r.Value))
	case "CAA":
		flags := 0
		if r.Critical {
			flags = 128
		}
		return fmt.Sprintf("%d %s %s", flags, r.Tag, quote(r.Value))
	case "TXT":
		var parts []string
		for text := r.Value; ; text = text[255:] {
			if len(text) <= 255 {
				return strings.Join(append(parts, quote(text)), " ")
			}
			parts = append(parts, quote(text[:255]))
		}
	}
	return r.Value
}

func quote(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
