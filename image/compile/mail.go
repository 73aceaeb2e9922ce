package compile

import (
	"net"
	"net/netip"
	"strconv"

	"leap.example/services/mx"
	"leap.example/services/relay"
)

func mxService(s *serviceCompiler) {
	cert, key := s.pair()
	chosen := s.n.MX
	made := mx.Config{
		Listen: s.public(PortMX, "tcp"), Hostname: s.i.FullName(s.n), Domains: []string{s.p.Domain}, CertFile: cert, KeyFile: key,
		SigningKeyFile: s.scoped("signing.key", "mx.signing.key"), QueueSecretFile: s.scoped("queue.secret", "mx.queue.secret"),
		Resolver: resolver(s.i, s.n), SpoolDir: s.state("spool"),
	}
	// The relay hands over over the mesh.
	chosen.Trusted = append([]netip.Prefix{s.p.Mesh.Network}, chosen.Trusted...)
	s.mesh(PortMX, "tcp")
	s.section("mx", &chosen, made)
	s.couch("leap_mx")
}

func relayService(s *serviceCompiler) {
	cert, key := s.pair()
	made := relay.Config{
		ListenTLS: s.public(PortSubmissions, "tcp"), ListenSTARTTLS: s.public(PortSubmission, "tcp"),
		Hostname: s.i.FullName(s.n), Domains: []string{s.p.Domain}, CertFile: cert, KeyFile: key,
		ClientCAFile: s.own("/services", "client_ca.crt", "ca/client_ca.crt"), QueueKeyFile: s.scoped("queue.key", "relay.queue.key"),
		Resolver: resolver(s.i, s.n),
	}
	for _, k := range selectors {
		made.DKIM = append(made.DKIM, relay.ConfigDKIM{Selector: k.selector, KeyFile: s.scoped(k.secret, k.secret)})
	}
	made.MX = s.hop()
	chosen := s.n.Relay
	s.section("relay", &chosen, made)
	s.couch("relay")
}

// hop is the mail server to which the relay hands over mail for the provider:
// the one on its own node, or the only one, over the mesh; one of several by
// their common name, which the resolver knows.
func (s *serviceCompiler) hop() relay.ConfigHop {
	list := s.i.In(s.n.Environment, "mx")
	if len(list) == 0 {
		return relay.ConfigHop{}
	}
	h := relay.ConfigHop{CAFile: s.own("/services", "ca.crt", "ca/ca.crt")}
	if len(list) > 1 && resolver(s.i, s.n) != "" {
		h.Name = "mx." + s.p.Domain
		h.Address = net.JoinHostPort(h.Name, strconv.Itoa(PortMX))
		return h
	}
	to := list[0]
	for _, n := range list {
		if n == s.n {
			to = n
		}
	}
	h.Name, h.Address = s.i.FullName(to), netip.AddrPortFrom(to.Mesh.Address, PortMX).String()
	return h
}
