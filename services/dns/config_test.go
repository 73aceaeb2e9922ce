package dns_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"leap.example/services/dns"
)

func TestConfig(t *testing.T) {
	valid := func() dns.Config {
		return dns.Config{
			Zones:         []dns.ConfigZone{{Name: "example.org", SOA: dns.ConfigSOA{Serial: 1}, NameServers: []string{"ns.example.org"}}},
			Authoritative: dns.ConfigAuthoritative{Listen: []string{"192.0.2.1:53"}},
		}
	}
	with := func(r ...dns.ConfigRecord) func(*dns.Config) {
		return func(c *dns.Config) { c.Zones[0].Records = r }
	}
	for _, tt := range []struct {
		name string
		edit func(*dns.Config)
		want string // Part of the error; empty: valid.
	}{
		{"valid", func(*dns.Config) {}, ""},
		{"resolver alone", func(c *dns.Config) { *c = dns.Config{Resolver: dns.ConfigResolver{Listen: []string{"127.0.0.1:53"}}} }, ""},
		{"no role", func(c *dns.Config) { c.Authoritative.Listen = nil }, "neither role"},
		{"no zone", func(c *dns.Config) { c.Zones = nil }, "no zones"},
		{"zone twice", func(c *dns.Config) { c.Zones = append(c.Zones, c.Zones[0]) }, "twice"},
		{"no serial", func(c *dns.Config) { c.Zones[0].SOA.Serial = 0 }, "required"},
		{"no name server", func(c *dns.Config) { c.Zones[0].NameServers = nil }, "required"},
		{"bad name server", func(c *dns.Config) { c.Zones[0].NameServers = []string{"a b"} }, "no host name"},
		{"bad zone", func(c *dns.Config) { c.Zones[0].Name = "" }, "no domain name"},
		{"bad contact", func(c *dns.Config) { c.Zones[0].SOA.Contact = "example.org" }, "no mail address"},
		{"negative rate", func(c *dns.Config) { c.Authoritative.Rate = -1 }, "negative"},
		{"upstream by name", func(c *dns.Config) { c.Resolver.Upstreams = []string{"dns.example:53"} }, "no IP address"},
		{"upstream by TLS", func(c *dns.Config) {
			c.Resolver.Upstreams, c.Resolver.CAFile = []string{"tls://dns.example@192.0.2.1:853"}, "/ca.pem"
		}, ""},
		{"nobody vouches", func(c *dns.Config) { c.Resolver.Upstreams = []string{"tls://dns.example@192.0.2.1:853"} }, "set resolver.ca_file"},
		{"listen by name", func(c *dns.Config) { c.Resolver.Listen = []string{"localhost:53"} }, "write an IP address"},
		{"negative stale", func(c *dns.Config) { c.Resolver.Stale = -1 }, "negative"},
		{"dnssec", func(c *dns.Config) { c.Resolver.DNSSEC = "yes" }, `write "on" or "off"`},
		{"anchor", func(c *dns.Config) { c.Resolver.TrustAnchors = []string{". IN DS 1"} }, "resolver.trust_anchors"},
		{"private", func(c *dns.Config) { c.Resolver.Private = []string{"a..b"} }, "no domain name"},
		{"network", func(c *dns.Config) { c.Resolver.Allow = []netip.Prefix{{}} }, "invalid"},
		{"unknown type", with(dns.ConfigRecord{Type: "BOGUS"}), "unknown type"},
		{"unserved type", with(dns.ConfigRecord{Type: "NS", Value: "ns.example.org"}), "not served"},
		{"address", with(dns.ConfigRecord{Type: "A", Value: "here"}), "unable to parse"},
		{"family", with(dns.ConfigRecord{Type: "A", Value: "2001:db8::1"}), "other address family"},
		{"host name", with(dns.ConfigRecord{Type: "MX", Value: "a b"}), "no host name"},
		{"owner", with(dns.ConfigRecord{Name: "a..b", Type: "A", Value: "192.0.2.1"}), "no domain name"},
		{"tag", with(dns.ConfigRecord{Type: "CAA", Tag: "who", Value: "x"}), "unknown tag"},
		{"alias of nothing", with(dns.ConfigRecord{Name: "a", Type: "CNAME", Value: "."}), "alias of nothing"},
		{"alias and more", with(dns.ConfigRecord{Name: "a", Type: "CNAME", Value: "b.test"}, dns.ConfigRecord{Name: "a", Type: "A", Value: "192.0.2.1"}), "something else"},
		{"alias of the zone", with(dns.ConfigRecord{Type: "CNAME", Value: "b.test"}), "something else"},
		{"alias loop", with(dns.ConfigRecord{Name: "a", Type: "CNAME", Value: "b.example.org"}, dns.ConfigRecord{Name: "b", Type: "CNAME", Value: "a.example.org"}), "without end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.edit(&c)
			err := c.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			b, err := json.Marshal(c)
			var back dns.Config
			if err == nil {
				err = json.Unmarshal(b, &back)
			}
			if err != nil && tt.name != "network" {
				t.Errorf("not to be written and read: %v", err)
			}
		})
	}
}

func TestProvider(t *testing.T) {
	p := dns.ConfigProvider{Domain: "example.org", Hosts: []dns.ConfigHost{{Name: "api", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	want := []dns.ConfigRecord{
		{Name: "api", Type: "A", Value: "192.0.2.1"},
		{Type: "MX", Value: "."},
		{Type: "TXT", Value: "v=spf1 -all"},
		{Name: "_dmarc", Type: "TXT", Value: "v=DMARC1; p=reject; adkim=s; aspf=s"},
		{Name: "api", Type: "TXT", Value: "v=spf1 -all"},
	}
	if diff := cmp.Diff(want, p.Records()); diff != "" {
		t.Errorf("a provider without mail: (-want +got)\n%s", diff)
	}
	for name, edit := range map[string]func(*dns.ConfigProvider){
		"domain":           func(p *dns.ConfigProvider) { p.Domain = "" },
		"exchanger":        func(p *dns.ConfigProvider) { p.MX = []string{"mx9"} },
		"key":              func(p *dns.ConfigProvider) { p.DKIM = []dns.ConfigDKIM{{"s", "rsa", "not base64"}} },
		"algorithm of key": func(p *dns.ConfigProvider) { p.DKIM = []dns.ConfigDKIM{{"s", "dsa", "AAAA"}} },
		"policy":           func(p *dns.ConfigProvider) { p.DMARC.Policy = "maybe" },
	} {
		bad := p
		edit(&bad)
		if bad.Validate() == nil {
			t.Errorf("a wrong %s is valid", name)
		}
	}
}
