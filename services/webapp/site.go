package webapp

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/provider"
)

const (
	minSecret  = 32
	minMonitor = 24
	eipService = "eip-service"
)

// serviceNames are the services that may have a file, and the names of the
// files without ".json".
var serviceNames = map[string]string{
	"eip":     eipService,
	"soledad": "soledad-service",
	"smtp":    "smtp-service",
}

// A site is a server together with the files that it serves and reads. It
// does not change: another configuration is another process.
type site struct {
	*Server
	provider     provider.Provider
	providerDoc  *document
	caDoc        *document
	fingerprint  string               // Of the CA, as provider.json has it.
	serviceDocs  map[string]*document // By name of the file: "eip-service".
	eip3Doc      *document            // eip-service.json, version 3; nil: there are no gateways.
	gateways     *gateways            // Nil: there are none.
	indexDocs    map[string]*document // configs.json, by version.
	mxKeysDoc    *document
	secret       []byte
	monitorToken string
	monitorIPs   []netip.Prefix
	pages        *pages
}

// load reads all files of the configuration.
func (s *Server) load() (*site, error) {
	t := &site{Server: s}
	var err error
	if t.secret, err = readSecret(s.cfg.SecretFile, minSecret); err != nil {
		return nil, err
	}
	if err := t.loadMonitor(); err != nil {
		return nil, err
	}
	if err := t.loadProvider(); err != nil {
		return nil, err
	}
	if err := t.loadServices(); err != nil {
		return nil, err
	}
	if err := t.loadGateways(); err != nil {
		return nil, err
	}
	if err := t.loadIndexes(); err != nil {
		return nil, err
	}
	if err := t.loadMXKeys(); err != nil {
		return nil, err
	}
	if t.pages, err = t.loadPages(); err != nil {
		return nil, err
	}
	return t, nil
}

// readSecret reads a file whose content has at least so many bytes. All of
// them count, white space too.
func readSecret(path string, least int) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < least {
		return nil, fmt.Errorf("%s: a secret needs at least %d bytes", path, least)
	}
	return data, nil
}

func (s *site) loadMonitor() (err error) {
	if s.monitorIPs, err = prefixes(s.cfg.MonitorIPs); err != nil {
		return err
	}
	if s.cfg.MonitorTokenFile == "" {
		return nil
	}
	token, err := readSecret(s.cfg.MonitorTokenFile, minMonitor)
	if s.monitorToken = strings.TrimSpace(string(token)); err == nil && len(s.monitorToken) < minMonitor {
		err = fmt.Errorf("%s: the token needs at least %d characters", s.cfg.MonitorTokenFile, minMonitor)
	}
	return err
}

// loadProvider reads provider.json and the CA's certificate and checks that
// they belong together: clients would refuse anything else.
func (s *site) loadProvider() (err error) {
	if s.providerDoc, err = readDocument(s.cfg.ProviderFile, jsonType); err != nil {
		return err
	}
	if s.provider, err = provider.Parse(s.providerDoc.body); err != nil {
		return fmt.Errorf("%s: %w", s.cfg.ProviderFile, err)
	}
	if s.provider.Domain != s.cfg.Domain {
		return fmt.Errorf("%s: domain is %q, configured is %q", s.cfg.ProviderFile, s.provider.Domain, s.cfg.Domain)
	}
	if s.caDoc, err = readDocument(s.cfg.CAFile, "application/x-pem-file"); err != nil {
		return err
	}
	ca, err := certs.ParseCert(s.caDoc.body)
	if err != nil {
		return fmt.Errorf("%s: %w", s.cfg.CAFile, err)
	}
	s.fingerprint = provider.FingerprintOf(ca.Raw)
	return provider.CheckFingerprint(s.provider.CACertFingerprint, ca.Raw)
}

// loadServices reads the service files that exist.
func (s *site) loadServices() error {
	s.serviceDocs = make(map[string]*document)
	for _, file := range serviceNames {
		if file == eipService {
			continue // It follows from the gateways.
		}
		d, err := readDocument(filepath.Join(s.cfg.ServiceDir, file+".json"), jsonType)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if _, err = provider.ParseHosts(d.body); err != nil {
			return fmt.Errorf("%s.json: %w", file, err)
		}
		s.serviceDocs[file] = d
	}
	return nil
}

// loadIndexes makes the indexes of the service files.
func (s *site) loadIndexes() error {
	s.indexDocs = make(map[string]*document)
	newest := s.providerDoc.modified
	for _, d := range s.serviceDocs {
		if d.modified.After(newest) {
			newest = d.modified
		}
	}
	for _, version := range []string{"1", "2", "3"} {
		index := provider.Configs{Services: make(map[string]string)}
		for service, file := range serviceNames {
			switch {
			case s.serviceDocs[file] == nil:
			case version == "3" && file == eipService:
				index.Services[service] = "/3/config/" + file + ".json"
			case version != "3":
				index.Services[service] = "/" + version + "/configs/" + file + ".json"
			}
		}
		d, err := jsonDocument(index, newest)
		if err != nil {
			return err
		}
		s.indexDocs[version] = d
	}
	return nil
}

// loadMXKeys reads the keys with which the MX nodes sign.
func (s *site) loadMXKeys() error {
	keys := bonafide.MXKeys{OpenPGP: []string{}}
	newest := time.Time{}
	for _, path := range s.cfg.MXKeyFiles {
		d, err := readDocument(path, "")
		if err != nil {
			return err
		}
		// Keys that only sign are not what nick.ParseKey reads.
		if len(d.body) > nick.MaxKey || !bytes.HasPrefix(d.body, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
			return fmt.Errorf("%s: not an armored public key", path)
		}
		keys.OpenPGP = append(keys.OpenPGP, string(d.body))
		if d.modified.After(newest) {
			newest = d.modified
		}
	}
	var err error
	s.mxKeysDoc, err = jsonDocument(keys, newest)
	return err
}

// level returns the service level called code, or the default one.
func (s *site) level(code string) provider.Level {
	if l, ok := s.provider.Service.Levels[code]; ok {
		return l
	}
	return s.provider.Service.Levels[s.defaultLevel()]
}

func (s *site) defaultLevel() string {
	return strconv.Itoa(s.provider.Service.DefaultServiceLevel)
}

// text returns the member of m in the provider's default language.
func (s *site) text(m map[string]string) string {
	if t := m[s.provider.DefaultLanguage]; t != "" {
		return strings.TrimSpace(t)
	}
	return strings.TrimSpace(m["en"])
}
