package dev

import (
	"errors"

	"leap.example/services/protocol/provider"
)

// documents writes what clients fetch before they log in: provider.json and
// the service definitions. They follow from domain and base port and are
// rewritten at every start.
func (p Provider) documents() error {
	fp, err := p.fingerprint()
	if err != nil {
		return err
	}
	doc := provider.Provider{
		APIURI:            p.URL("api", PortAPI),
		APIVersion:        "1",
		CACertFingerprint: fp,
		CACertURI:         p.URL("", PortWeb) + "/ca.crt",
		DefaultLanguage:   "en",
		Description:       map[string]string{"en": "A whole provider on one developer's machine."},
		Domain:            p.Domain,
		EnrollmentPolicy:  "invite",
		Languages:         []string{"en"},
		Name:              map[string]string{"en": "LEAP demo"},
		NicknymURI:        p.URL("nicknym", PortNickserver),
		Service: provider.Service{
			AllowAnonymous: true, AllowFree: true, AllowRegistration: true, AllowUnlimitedBandwidth: true, DefaultServiceLevel: 1,
			Levels: map[string]provider.Level{"1": {
				Name: "free", Description: "Everything, for nothing.", Storage: storageMB, Services: []string{"email", "mx"},
			}},
		},
		Services: []string{"mx", provider.TransportWireGuard},
	}
	if err := doc.Validate(); err != nil {
		return err
	}
	gateways, err := p.gatewayList()
	if err != nil {
		return err
	}
	return errors.Join(
		writeJSON(p.Path("provider.json"), doc),
		writeJSON(p.Path("service-definitions", "gateways.json"), gateways),
		writeJSON(p.Path("service-definitions", "soledad-service.json"), p.hosts("soledad", PortSoledad)),
		writeJSON(p.Path("service-definitions", "smtp-service.json"), p.hosts("smtp", PortSubmissions)),
	)
}

// storageMB is what a demo account may store, in megabytes.
const storageMB = 1000

// hosts is the definition of a service that the one node offers.
func (p Provider) hosts(name string, offset int) provider.HostsService {
	return provider.HostsService{
		Serial:  1,
		Version: 1,
		Hosts: map[string]provider.Host{"dev": {
			Hostname: name + "." + p.Domain, IPAddress: "127.0.0.1", Port: p.Base + offset, Location: "loopback",
		}},
		Locations: map[string]provider.Location{"loopback": {
			Name: "Loopback", CountryCode: "XX", Timezone: "+0", Hemisphere: "N",
		}},
	}
}
