package compile

import (
	"fmt"

	instance "leap.example/image/provider"
	"leap.example/services/protocol/provider"
)

// Bootstrap returns provider.json as clients fetch it.
func Bootstrap(i *instance.Instance, env string) (provider.Provider, error) {
	p := i.Provider(env)
	fp, err := fingerprint(i.Files["ca/ca.crt"])
	if err != nil {
		return provider.Provider{}, err
	}
	doc := provider.Provider{
		APIURI: fmt.Sprintf("https://api.%s:%d", p.Domain, PortAPI), APIVersion: "1",
		CACertFingerprint: fp, CACertURI: "https://" + p.Domain + "/ca.crt",
		DefaultLanguage: p.DefaultLanguage, Description: p.Description, Domain: p.Domain, EnrollmentPolicy: p.EnrollmentPolicy,
		Languages: p.Languages, Name: p.Name, Service: p.Service, Services: []string{},
	}
	if len(i.In(env, "mx")) > 0 {
		doc.Services = append(doc.Services, "mx")
	}
	if len(i.In(env, "gateway")) > 0 {
		// Not "openvpn": those who read that would look for it.
		doc.Services = append(doc.Services, provider.TransportWireGuard)
	}
	return doc, doc.Validate()
}

func scopedName(s *serviceCompiler, name string) string {
	return instance.Scoped(s.n.Environment, name)
}
