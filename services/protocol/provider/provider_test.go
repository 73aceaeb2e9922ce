package provider_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParse(t *testing.T) {
	p, err := provider.Parse(read(t, "provider.json"))
	if err != nil {
		t.Fatal(err)
	}
	if p.APIURI != "https://api.example.org:4430" || p.Service.Levels["1"].Name != "free" || p.Service.BandwidthLimit != 102400 {
		t.Errorf("got %+v", p)
	}
	if got := p.Nicknym(); got != "https://nicknym.example.org:6425" {
		t.Errorf("nickserver at %s", got)
	}
	p.NicknymURI = "https://127.0.0.1:7/"
	if got := p.Nicknym(); got != "https://127.0.0.1:7" {
		t.Errorf("nickserver at %s", got)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := provider.Parse(data)
	if diff := cmp.Diff(p, again); err != nil || diff != "" {
		t.Errorf("changes when it is written: %v\n%s", err, diff)
	}
}

func TestValidate(t *testing.T) {
	for name, spoil := range map[string]func(*provider.Provider){
		"domain":         func(p *provider.Provider) { p.Domain = "example.org:443" },
		"no domain":      func(p *provider.Provider) { p.Domain = "" },
		"upper case":     func(p *provider.Provider) { p.Domain = "Example.org" },
		"long label":     func(p *provider.Provider) { p.Domain = strings.Repeat("a", 64) + ".org" },
		"hyphen":         func(p *provider.Provider) { p.Domain = "-a.org" },
		"clear api":      func(p *provider.Provider) { p.APIURI = "http://api.example.org" },
		"api with path":  func(p *provider.Provider) { p.APIURI = "https://api.example.org/1" },
		"api with user":  func(p *provider.Provider) { p.APIURI = "https://a@api.example.org" },
		"api with query": func(p *provider.Provider) { p.APIURI = "https://api.example.org?x" },
		"no ca":          func(p *provider.Provider) { p.CACertURI = "" },
		"ca in clear":    func(p *provider.Provider) { p.CACertURI = "http://example.org/ca.crt" },
		"nickserver":     func(p *provider.Provider) { p.NicknymURI = "https://:6425" },
		"policy":         func(p *provider.Provider) { p.EnrollmentPolicy = "maybe" },
		"fingerprint":    func(p *provider.Provider) { p.CACertFingerprint = "SHA1: 00" },
	} {
		p, err := provider.Parse(read(t, "provider.json"))
		if err != nil {
			t.Fatal(err)
		}
		spoil(&p)
		if err := p.Validate(); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, doc := range map[string]string{"empty": "", "list": "[]", "long": `"` + strings.Repeat("a", provider.MaxDocument) + `"`, "object": "{}"} {
		if _, err := provider.Parse([]byte(doc)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	// SHA-256 of "abc", FIPS 180.
	const digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := provider.FingerprintOf([]byte("abc")); got != "SHA256: "+digits {
		t.Errorf("got %s", got)
	}
	for _, s := range []string{"SHA256: " + digits, "sha256:" + digits, digits, " SHA256 : " + strings.ToUpper(digits) + " "} {
		if err := provider.CheckFingerprint(s, []byte("abc")); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	err := provider.CheckFingerprint(digits, []byte("abd"))
	if f, ok := errors.AsType[*provider.FingerprintError](err); !ok || f.Want != "SHA256: "+digits || f.Got == f.Want || !errors.Is(err, problem.Permission) {
		t.Errorf("other certificate: %v", err)
	}
	for _, s := range []string{"", "SHA1: " + digits, digits[2:], "SHA256: " + digits + "00", "SHA256: x" + digits[1:]} {
		if err := provider.CheckFingerprint(s, []byte("abc")); !errors.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestServiceFiles(t *testing.T) {
	eip, err := provider.ParseEIP(read(t, "eip-service.json"))
	if err != nil || len(eip.Gateways) != 1 || eip.Gateways[0].Capabilities.Ports[1] != "443" || eip.Locations["amsterdam"].ID != "ams" {
		t.Errorf("eip: %+v, %v", eip, err)
	}
	hosts, err := provider.ParseHosts(read(t, "soledad-service.json"))
	want := map[string]provider.Host{"couch1": {Hostname: "couch1.example.org", IPAddress: "198.51.100.9", Port: 2323, Location: "amsterdam"}}
	if diff := cmp.Diff(want, hosts.Hosts); err != nil || diff != "" {
		t.Errorf("hosts: %v\n%s", err, diff)
	}
	c, err := provider.ParseConfigs([]byte(`{"services":{"smtp":"/1/configs/smtp-service.json"}}`))
	if err != nil || c.Services["smtp"] != "/1/configs/smtp-service.json" {
		t.Errorf("configs: %+v, %v", c, err)
	}
	for _, doc := range []string{
		`{"hosts":{"a":{"hostname":"a b","ip_address":"192.0.2.1","port":1}}}`,
		`{"hosts":{"a":{"hostname":"a","ip_address":"192.0.2","port":1}}}`,
		`{"hosts":{"a":{"hostname":"a","ip_address":"192.0.2.1","port":0}}}`,
		`{"hosts":{"a":{"hostname":"a","ip_address":"192.0.2.1","port":65536}}}`,
		`x`,
	} {
		if _, err := provider.ParseHosts([]byte(doc)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for _, doc := range []string{`{"services":{"a":"https://evil/"}}`, `{"services":{"a":"//evil/"}}`, `x`} {
		if _, err := provider.ParseConfigs([]byte(doc)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for _, doc := range []string{`{"gateways":[{"host":"a","ip_address":"x"}]}`, `{"gateways":[{"host":"","ip_address":"192.0.2.1"}]}`, `x`} {
		if _, err := provider.ParseEIP([]byte(doc)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// FuzzParse: what is accepted is accepted again after it was written.
func FuzzParse(f *testing.F) {
	f.Add(read(f, "provider.json"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := provider.Parse(data)
		if err != nil {
			return
		}
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Parse(out); err != nil {
			t.Errorf("%s: %v", out, err)
		}
	})
}

// FuzzServiceFiles: errors are Invalid and nothing panics.
func FuzzServiceFiles(f *testing.F) {
	f.Add(read(f, "eip-service.json"))
	f.Add(read(f, "eip-service3.json"))
	f.Add(read(f, "gateways.json"))
	f.Add(read(f, "soledad-service.json"))
	f.Add([]byte(`{"services":{"smtp":"/1/configs/smtp-service.json"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err1 := provider.ParseEIP(data)
		_, err2 := provider.ParseHosts(data)
		_, err3 := provider.ParseConfigs(data)
		_, err4 := provider.ParseEIP3(data)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil && !errors.Is(err, problem.Invalid) {
				t.Errorf("refused with %v", err)
			}
		}
	})
}

// FuzzParseFingerprint: an accepted fingerprint has one text.
func FuzzParseFingerprint(f *testing.F) {
	f.Add("SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
	f.Add("ba:78")
	f.Fuzz(func(t *testing.T, s string) {
		fp, err := provider.ParseFingerprint(s)
		if err != nil {
			return
		}
		if again, err := provider.ParseFingerprint(fp.String()); err != nil || again != fp {
			t.Errorf("%q becomes %v, %v", s, again, err)
		}
	})
}
