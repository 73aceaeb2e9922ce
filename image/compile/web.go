package compile

import (
	"encoding/json"
	"fmt"
	"strings"

	"leap.example/appliance/node"
	"leap.example/services/ca"
	"leap.example/services/nickserver"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
	"leap.example/services/soledad"
	"leap.example/services/webapp"
)

func caService(s *serviceCompiler) {
	chosen := s.n.CA
	made := ca.Config{
		Domain: s.p.Domain, KeyFile: s.secret("client_ca.key", "client_ca.key"), CertFile: s.own("/services", "client_ca.crt", "ca/client_ca.crt"),
	}
	if s.p.Service.AllowLimitedBandwidth && chosen.Prefix == "" && len(chosen.Plans) == 0 { // Not the default.
		made.Plans = plans(s.p)
	}
	s.section("ca", &chosen, made)
	s.couch("ca")
}

func nickserverService(s *serviceCompiler) {
	cert, key := s.pair()
	chosen := s.n.Nickserver
	s.section("nickserver", &chosen, nickserver.Config{Listen: s.public(PortNickserver, "tcp"), CertFile: cert, KeyFile: key, Domain: s.p.Domain})
	s.couch("nickserver")
}

func soledadService(s *serviceCompiler) {
	cert, key := s.pair()
	chosen := s.n.Soledad
	s.section("soledad", &chosen, soledad.Config{Listen: s.public(PortSoledad, "tcp"), CertFile: cert, KeyFile: key})
	s.couch("soledad")
}

func webappService(s *serviceCompiler) {
	cert, key := s.pair()
	made := webapp.Config{
		Domain: s.p.Domain, Listen: s.public(PortAPI, "tcp"), CertFile: cert, KeyFile: key,
		WebListen: s.public(PortWeb, "tcp"), WebCertFile: cert, WebKeyFile: key,
		CAFile: s.own("/services", "ca.crt", "ca/ca.crt"), SecretFile: s.scoped("webapp.secret", "webapp.secret"),
		MonitorTokenFile: s.scoped("monitor.token", "monitor.token"), TaskSocket: node.TaskPath("webapp"),
	}
	// A certificate that the world trusts, if the operator has one.
	if public := "cert/" + s.p.Domain + ".crt"; len(s.i.Files[public]) > 0 {
		made.WebCertFile, made.WebKeyFile = s.own("/services", "web.crt", public), s.secret("web.key", "cert."+s.p.Domain+".key")
	}
	doc, err := Bootstrap(s.i, s.n.Environment)
	if err != nil {
		s.failf("/services", "%v", err)
		return
	}
	made.ProviderFile = s.json("provider.json", doc)
	made.GatewaysFile, made.GatewayTokenFiles = s.gateways()
	definitions := serviceFiles(s)
	made.ServiceDir = s.file("service-definitions", "")
	delete(s.out.Files, "service-definitions")
	for name, def := range definitions {
		s.json("service-definitions/"+name, def)
	}
	if len(s.i.In(s.n.Environment, "mx")) > 0 {
		public, err := publicSigning(s.c.secrets[scopedName(s, "mx.signing.key")])
		if err != nil {
			s.failf("/services", "the secret %s: %v", scopedName(s, "mx.signing.key"), err)
		}
		made.MXKeyFiles = []string{s.file("mx-signing.pub", public)}
	}
	chosen := s.n.Webapp
	if chosen.Bootstrap == "" {
		made.Bootstrap = fmt.Sprintf("leapc provider add %s --ca-fingerprint '%s'", s.p.Domain, doc.CACertFingerprint)
	}
	s.section("webapp", &chosen, made)
	s.couch("webapp")
}

// json gives the service a file with v.
func (s *serviceCompiler) json(name string, v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.failf("", "%s: %v", name, err)
	}
	return s.file(name, string(text)+"\n")
}

// serviceFiles are the definitions of services that clients fetch.
func serviceFiles(s *serviceCompiler) map[string]provider.HostsService {
	files := map[string]provider.HostsService{}
	for _, k := range []struct {
		file, service string
		port          int
	}{{"soledad-service.json", "soledad", PortSoledad}, {"smtp-service.json", "relay", PortSubmissions}} {
		def := provider.HostsService{Serial: 1, Version: 1, Hosts: map[string]provider.Host{}, Locations: map[string]provider.Location{}}
		for _, n := range s.i.In(s.n.Environment, k.service) {
			h := provider.Host{Hostname: s.i.FullName(n), IPAddress: n.IPAddress.String(), Port: k.port}
			h.Location = place(n, def.Locations)
			def.Hosts[n.Name] = h
		}
		if len(def.Hosts) > 0 {
			files[k.file] = def
		}
	}
	return files
}

// slug is the key of a location (leap-protocols.md 1.3).
func slug(name string) string {
	return strings.Map(func(c rune) rune {
		if c < 'a' || c > 'z' {
			return '_'
		}
		return c
	}, strings.ToLower(name))
}

// fingerprint is that of the provider's authority.
func fingerprint(text []byte) (string, error) {
	cert, err := certs.ParseCert(text)
	if err != nil {
		return "", fmt.Errorf("files/ca/ca.crt: %w: run \"leap cert ca\"", err)
	}
	return provider.FingerprintOf(cert.Raw), nil
}
