package compile

import (
	"encoding/json"
	"fmt"

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
	s.section("ca", &chosen, ca.Config{
		Domain: s.p.Domain, KeyFile: s.secret("client_ca.key", "client_ca.key"), CertFile: s.own("/services", "client_ca.crt", "ca/client_ca.crt"),
	})
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
			if l := n.Location; l.Name != "" {
				h.Location = slug(l.Name)
				def.Locations[h.Location] = provider.Location{Name: l.Name, CountryCode: l.CountryCode, Timezone: l.Timezone, Hemisphere: l.Hemisphere}
			}
			def.Hosts[n.Name] = h
		}
		if len(def.Hosts) > 0 {
			files[k.file] = def
		}
	}
	return files
}

// slug is a name in lower-case letters, digits and dashes.
func slug(name string) string {
	out := []byte{}
	for _, c := range []byte(name) {
		switch {
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			out = append(out, c)
		default:
			out = append(out, '-')
		}
	}
	return string(out)
}

// fingerprint is that of the provider's authority.
func fingerprint(text []byte) (string, error) {
	cert, err := certs.ParseCert(text)
	if err != nil {
		return "", fmt.Errorf("files/ca/ca.crt: %w: run \"leap cert ca\"", err)
	}
	return provider.FingerprintOf(cert.Raw), nil
}
