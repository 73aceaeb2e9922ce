package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
	public "leap.example/services/protocol/provider"
)

func gatewayService(s *serviceCompiler) {
	cert, key := s.pair()
	v := s.n.VPN
	made := gateway.Config{
		CertFile: cert, KeyFile: key, ClientCAFile: s.own("/services", "client_ca.crt", "ca/client_ca.crt"),
		WGKeyFile: s.secret("wireguard.key", provider.NodeSecret(s.n.Name, "gateway.key")),
		RunDir:    node.MemoryDir(s.name),
		WGListen:  []string{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), v.Port).String()},
		IPv4:      v.IPv4, IPv6: pool6(s.n), Egress: v.EgressAddresses,
	}
	for _, a := range s.n.Entries() {
		made.Entry = append(made.Entry, gateway.ConfigEntry{Addr: a, Ports: datagramPorts(s.n), TLSPorts: v.TLSPorts})
	}
	for _, port := range v.TLSPorts {
		all := s.public(port, "tcp")
		if len(v.GatewayAddresses) == 0 { // They may be given to the node by others.
			made.Listen = append(made.Listen, all)
			continue
		}
		for _, a := range v.GatewayAddresses {
			made.Listen = append(made.Listen, netip.AddrPortFrom(a, port).String())
		}
	}
	s.public(v.Port, "udp")
	s.out.Net = true
	s.shared53()
	chosen := s.n.Gateway
	if p := s.p.Service; p.AllowLimitedBandwidth && chosen.Rate == 0 {
		made.Rate = p.BandwidthLimit
	}
	s.section("gateway", &chosen, made)
}

// datagramPorts are those at which a gateway takes WireGuard's datagrams, the
// preferred one first.
func datagramPorts(n *provider.Node) []uint16 { return append([]uint16{n.VPN.Port}, n.VPN.Ports...) }

// pool6 are the users' addresses in a gateway's tunnel.
func pool6(n *provider.Node) netip.Prefix {
	if n.VPN.RoutedPrefix.IsValid() {
		return n.VPN.RoutedPrefix
	}
	return n.VPN.IPv6
}

// shared53 finds a name server at the address whose UDP port 53 leads into the
// tunnel.
func (s *serviceCompiler) shared53() {
	k := slices.Index(s.n.VPN.Ports, PortDNS)
	if k < 0 || !s.n.IsNameServer() {
		return
	}
	for _, a := range nameServerAddresses(s.n) {
		if slices.Contains(s.n.Entries(), a) {
			s.failf("/vpn/ports/"+strconv.Itoa(k), "gateway and dns both want UDP port 53 of %v: leave 53 out of vpn.ports, or give the gateway an address of its own in vpn.gateway_addresses", a)
		}
	}
}

// nameServerAddresses are those of a node at which its name server answers.
func nameServerAddresses(n *provider.Node) []netip.Addr {
	return slices.DeleteFunc(listening(n), func(a netip.Addr) bool {
		// Names and certificates are of the node's own addresses.
		return n.Has("gateway") && slices.Contains(n.VPN.GatewayAddresses, a) && !slices.Contains(n.Addresses(), a)
	})
}

// Gateways are those of an environment, as webapp tells clients of them.
func Gateways(i *provider.Instance, env string) public.GatewayList {
	l := public.GatewayList{Gateways: []public.Gateway{}, Locations: map[string]public.Location{}}
	for _, n := range i.In(env, "gateway") {
		g := public.Gateway{
			Name: n.Name, Host: i.FullName(n), Addresses: n.Entries(), LeasePorts: n.VPN.TLSPorts, Location: place(n, l.Locations),
			Transports: []public.GatewayTransport{{Proto: lease.UDP, Ports: datagramPorts(n)}, {Proto: lease.UDP2TCP, Ports: n.VPN.TLSPorts}},
			Plans:      plans(i.Provider(env)), IPv6: pool6(n).IsValid(), Private: n.VPN.Private,
		}
		l.Gateways = append(l.Gateways, g)
	}
	return l
}

// plans are those that a provider sells.
func plans(p *provider.Provider) (list []lease.Plan) {
	if p.Service.AllowUnlimitedBandwidth {
		list = append(list, lease.Unlimited)
	}
	if p.Service.AllowLimitedBandwidth {
		list = append(list, lease.Limited)
	}
	return list
}

// place has a node's location among the others and returns its key there; "" if
// it is not known.
func place(n *provider.Node, among map[string]public.Location) string {
	l := n.Location
	if l.Name == "" {
		return ""
	}
	key := slug(l.Name)
	among[key] = public.Location{
		Name: l.Name, CountryCode: l.CountryCode, Timezone: l.Timezone, Hemisphere: l.Hemisphere, Latitude: l.Latitude, Longitude: l.Longitude,
	}
	return key
}

// gateways gives webapp what it tells of the VPN. It returns the paths of the
// list and of the tokens by gateway; "" if there are no gateways.
func (s *serviceCompiler) gateways() (list string, tokens map[string]string) {
	l := Gateways(s.i, s.n.Environment)
	if len(l.Gateways) == 0 {
		return "", nil
	}
	if err := l.Validate(); err != nil {
		s.failf("/services", "%v", err)
	}
	for _, g := range l.Gateways {
		if g.Private {
			if tokens == nil {
				tokens = map[string]string{}
			}
			tokens[g.Name] = s.secret("gateway."+g.Name+".token", provider.NodeSecret(g.Name, "gateway.token"))
		}
	}
	return s.json("gateways.json", l), tokens
}

// checkGateway finds what works, and probably not as it was meant.
func (c *compiler) checkGateway(n *provider.Node) {
	if n.Location.Name == "" || n.Location.Timezone == "" {
		c.warnf("%s: clients are not told where this gateway is: set location.name, country_code and timezone", n.Name)
	}
	if len(c.i.In(n.Environment, "webapp")) == 0 {
		c.warnf("%s: no node of this environment has the service webapp, so that nobody is told of this gateway", n.Name)
	}
	if len(n.VPN.EgressAddresses) == 0 && len(n.VPN.GatewayAddresses) == 0 {
		c.warnf("%s: users of this gateway come in and leave by the same address, so that who blocks or watches one has both: set vpn.gateway_addresses or vpn.egress_addresses", n.Name)
	}
}

// sharedPorts finds services of a node that want one port, and reports whether
// there are any.
func (c *nodeCompiler) sharedPorts() (found bool) {
	type port struct {
		protocol string
		number   uint16
		tunnel   bool
	}
	of := map[port]string{}
	for _, name := range c.n.Runs {
		for _, l := range c.doc.Services[name].Listeners {
			p := port{l.Protocol, l.Port, l.From == "tunnel"}
			other := of[p]
			of[p] = name
			if other == "" || other == name {
				continue
			}
			pointer, next := "/services", "put one of the two on a node of its own"
			if other == "gateway" || name == "gateway" {
				if k := slices.Index(c.n.VPN.TLSPorts, l.Port); k >= 0 && l.Protocol == "tcp" {
					pointer, next = fmt.Sprint("/vpn/tls_ports/", k), fmt.Sprintf("put the gateway on a node of its own, or leave %d out of vpn.tls_ports", l.Port)
				}
			}
			c.c.errs = append(c.c.errs, c.n.Errorf(pointer, "%s and %s both want %s port %d of this node: %s", other, name, strings.ToUpper(l.Protocol), l.Port, next))
			found = true
		}
	}
	return found
}
