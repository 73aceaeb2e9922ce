package compile_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/dns"
	"leap.example/services/gateway"
	public "leap.example/services/protocol/provider"
	"leap.example/services/webapp"
)

const (
	vpn        = "testdata/vpn"
	vpnSecrets = "testdata/vpn-secrets.json"
)

// TestMakeVPN makes the keys of the golden instance with gateways.
func TestMakeVPN(t *testing.T) {
	if !*newDemo {
		t.Skip("the keys are there; -new makes others")
	}
	makeDemo(t, vpn, vpnSecrets, "vpn.example", map[string]string{
		"provider.json": `{
	"domain": "vpn.example",
	"name": {"en": "Demo"},
	"contacts": ["root@other.example"],
	// Who asks gets a certificate for the VPN, without an account.
	"service": {"allow_anonymous": true, "allow_limited_bandwidth": true, "allow_unlimited_bandwidth": true, "bandwidth_limit": 204800},
}
`,
		"common.json":           `{"time": {"servers": ["10.7.0.1"]}, "location": {"name": "Amsterdam", "country_code": "NL", "timezone": "+1", "hemisphere": "N"}}`,
		"services/gateway.json": `{"dns": {"resolver": {"upstreams": ["10.7.0.1:53"]}}}`,
	}, [][]string{
		{"web1", "services:couchdb,webapp,soledad"},
		{"ns1", "services:dns", `dns.resolver.upstreams:["10.7.0.1:53"]`},
		{
			"gw1", "services:gateway", "location.name:New York", "location.country_code:US", `location.timezone:"-5"`, "location.lat:40.7", "location.lon:-74",
			"ipv6_address:2001:db8:7::13", `network.interfaces:[{"name":"eth0","addresses":["10.7.0.13/24","10.7.0.23/24","10.7.0.33/24","2001:db8:7::13/64","2001:db8:7::23/64"],"gateways":["10.7.0.1"]}]`,
			`vpn.gateway_addresses:["10.7.0.23","2001:db8:7::23"]`, `vpn.egress_addresses:["10.7.0.33","2001:db8:7::13"]`,
		},
		{"gw2", "services:gateway", "vpn.private:true", "vpn.ports:[53,443]", "vpn.tls_ports:[1194]", "vpn.ipv4:172.20.0.0/20", "vpn.routed_prefix:2001:db8:64::/64"},
	})
}

func compiledVPN(t *testing.T) (*provider.Instance, *compile.Output) {
	t.Helper()
	i := open(t, vpn)
	out, err := compile.Compile(i, secretsIn(t, vpnSecrets))
	if err != nil {
		t.Fatal(err)
	}
	return i, out
}

func TestGoldenVPN(t *testing.T) {
	i, out := compiledVPN(t)
	for _, name := range []string{"gw1", "gw2", "web1"} {
		text, err := json.MarshalIndent(out.Documents[name], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "vpn-"+name+".json", append(text, '\n'))
		for secret, value := range secretsIn(t, vpnSecrets) {
			if s := bytes.TrimSpace(value); bytes.Contains(text, s) {
				t.Errorf("%s: the document holds the secret %s", name, secret)
			}
		}
	}
	zone, err := compile.ZoneOf(i, "", secretsIn(t, vpnSecrets))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "vpn-zone", []byte(compile.ZoneText(zone)))
	golden(t, "vpn-hosts", []byte(compile.HostsText(i, "")))
	ports, err := json.MarshalIndent(compile.Ports(i, out.Documents), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "vpn-firewall", append(ports, '\n'))
	if want := "gw2: users of this gateway come in and leave by the same address"; len(out.Warnings) != 1 || !strings.HasPrefix(out.Warnings[0], want) {
		t.Errorf("warnings: %q, want %s", out.Warnings, want)
	}
	for _, n := range compile.Needs(i) {
		if _, ok := secretsIn(t, vpnSecrets)[n.Name]; !ok {
			t.Errorf("the secret %s is needed and was not made", n.Name)
		}
	}
}

// TestGatewaysFit: gateway, resolver, firewall and what clients are told agree.
func TestGatewaysFit(t *testing.T) {
	i, out := compiledVPN(t)
	list, err := public.ParseGateways([]byte(out.Documents["web1"].Services["webapp"].Files["gateways.json"]))
	if err != nil || len(list.Gateways) != 2 || list.Locations["new_york"].Timezone != "-5" {
		t.Fatalf("clients are told %+v, %v", list, err)
	}
	for _, g := range list.Gateways {
		doc := out.Documents[g.Name]
		c := section[gateway.Config](t, doc, "gateway", "gateway")
		r := section[dns.Config](t, doc, "dns", "dns")
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", g.Name, err)
		}
		for k, e := range c.Entry {
			if e.Addr != g.Addresses[k] || !slices.Equal(e.Ports, g.Transports[0].Ports) || !slices.Equal(e.TLSPorts, g.LeasePorts) {
				t.Errorf("%s: it listens at %+v, clients are told %+v", g.Name, e, g)
			}
		}
		if c.Rate != 204800 || c.IPv6.IsValid() != g.IPv6 || len(g.Plans) != 2 || !doc.Services["gateway"].Net {
			t.Errorf("%s: %+v", g.Name, c)
		}
		for _, a := range c.Own() {
			if !slices.Contains(r.Resolver.Listen, a.String()+":53") && !slices.Contains(r.Resolver.Listen, "["+a.String()+"]:53") {
				t.Errorf("%s: nothing resolves names at %v: %v", g.Name, a, r.Resolver.Listen)
			}
		}
		if !slices.Contains(r.Resolver.Allow, c.IPv4) || !slices.Contains(r.Resolver.Allow, c.IPv6) || len(r.Authoritative.Listen) > 0 {
			t.Errorf("%s: the resolver is %+v", g.Name, r)
		}
		for _, l := range doc.Services["dns"].Listeners {
			if l.From != "tunnel" {
				t.Errorf("%s: its resolver listens %s", g.Name, l.From)
			}
		}
	}
	w := section[webapp.Config](t, out.Documents["web1"], "webapp", "webapp")
	if len(w.GatewayTokenFiles) != 1 || w.GatewayTokenFiles["gw2"] != node.SecretPath("webapp", "gateway.gw2.token") {
		t.Errorf("tokens are in %v", w.GatewayTokenFiles)
	}
	// A private gateway has no name that can be guessed.
	zone, err := compile.ZoneOf(i, "", secretsIn(t, vpnSecrets))
	if err != nil {
		t.Fatal(err)
	}
	if text := compile.ZoneText(zone) + compile.HostsText(i, ""); strings.Contains(text, "gw2") || strings.Contains(text, "10.7.0.14") || !strings.Contains(text, "vpn.vpn.example") {
		t.Errorf("the names are\n%s", text)
	}
	p, err := compile.Bootstrap(i, "")
	if err != nil || !slices.Contains(p.Services, "wireguard") || slices.Contains(p.Services, "openvpn") || !p.Service.AllowAnonymous || p.Service.Levels["1"].Name != "free" {
		t.Errorf("provider.json is %+v, %v", p, err)
	}
}

// TestBadGateways: each mistake is found where it was made.
func TestBadGateways(t *testing.T) {
	const head = `{"ip_address": "10.7.0.13", "mesh": {"address": "10.99.0.3"}, "services": `
	gw := func(vpn string) map[string]string {
		return map[string]string{"nodes/gw1.json": head + `["gateway"],` + "\n" + `"vpn": {` + vpn + `}}`}
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"web on it": {
			map[string]string{"nodes/gw1.json": head + `["gateway", "webapp"],` + "\n" + `"vpn": {"tls_ports": [1194, 443]}}`},
			"nodes/gw1.json:2:29: /vpn/tls_ports/1: gw1: gateway and webapp both want TCP port 443 of this node: put the gateway on a node of its own, or leave 443 out of vpn.tls_ports",
		},
		"name server on it": {
			map[string]string{"nodes/gw1.json": head + `["gateway", "dns"],` + "\n" + `"vpn": {"ports": [80, 53]}}`},
			"nodes/gw1.json:2:23: /vpn/ports/1: gw1: gateway and dns both want UDP port 53 of 10.7.0.13: leave 53 out of vpn.ports, or give the gateway an address of its own in vpn.gateway_addresses",
		},
		"foreign address":     {gw(`"gateway_addresses": ["10.7.0.99"]`), "nodes/gw1.json:2:31: /vpn/gateway_addresses/0: gw1: 10.7.0.99 is no address of the node: write it into network.interfaces"},
		"foreign egress":      {gw(`"egress_addresses": ["10.7.0.99"]`), "/vpn/egress_addresses/0: gw1: 10.7.0.99 is no address of the node"},
		"port of the mesh":    {gw(`"port": 51820`), "/vpn/port: gw1: UDP port 51820 is the mesh's"},
		"mesh among the rest": {gw(`"ports": [443, 51820]`), "/vpn/ports/1: gw1: UDP port 51820 is the mesh's at the same address"},
		"port twice":          {gw(`"ports": [443, 443]`), "/vpn/ports/1: gw1: 443 is no port, or is there already"},
		"port 0":              {gw(`"tls_ports": [0]`), "/vpn/tls_ports/0: gw1: 0 is no port"},
		"no lease API":        {gw(`"tls_ports": []`), "/vpn/tls_ports: gw1: one is required"},
		"public pool":         {gw(`"ipv4": "192.0.2.0/24"`), "/vpn/ipv4: gw1: a private network from /8 to /29"},
		"pool over the mesh":  {gw(`"ipv4": "10.0.0.0/8"`), "/vpn/ipv4: gw1: 10.0.0.0/8 overlaps the mesh's network"},
		"routed as local":     {gw(`"ipv6": "2001:db8:1::/64"`), "/vpn/ipv6: gw1: a network of fc00::/7"},
		"local as routed":     {gw(`"routed_prefix": "fd00::/64"`), "/vpn/routed_prefix: gw1: a public network of IPv6"},
		"both":                {gw(`"ipv6": "fd00::/64", "routed_prefix": "2001:db8:1::/64"`), "/vpn/routed_prefix: gw1: there is vpn.ipv6 (nodes/gw1.json:2) too"},
		"time zone":           {map[string]string{"common.json": `{"location": {"name": "A", "timezone": "Europe/Amsterdam"}}`}, `common.json:1:40: /location/timezone: gw2: "Europe/Amsterdam" is no time zone: write hours east of Greenwich`},
		"country":             {map[string]string{"common.json": `{"location": {"name": "A", "country_code": "Holland"}}`}, `/location/country_code: gw2: "Holland" is no code of two letters`},
		"latitude":            {map[string]string{"common.json": `{"location": {"name": "A", "lat": 100}}`}, `/location/lat: gw2:`},
		"made here":           {map[string]string{"services/gateway.json": `{"gateway": {"listen": [":1"]}}`}, "services/gateway.json:1:24: /gateway/listen: gw1: this follows from the instance"},
		"refused":             {map[string]string{"services/gateway.json": `{"gateway": {"mtu": 7}}`}, "/gateway: gw1: mtu: 7 is not between"},
		"name of the VPN":     {map[string]string{"nodes/vpn.json": `{"ip_address": "10.7.0.40", "mesh": {"address": "10.99.0.40"}, "services": []}`}, "vpn.vpn.example is a name of the provider itself"},
		"one address twice": {
			map[string]string{
				"nodes/gw1.json": head + `["gateway"], "vpn": {"gateway_addresses": ["10.7.0.13"]}}`,
				"nodes/gw2.json": `{"ip_address": "10.7.0.14", "mesh": {"address": "10.99.0.4"}, "services": ["gateway"], "network": {"interfaces": [{"name": "eth0", "addresses": ["10.7.0.13/24"]}]},` + "\n" + `"vpn": {"gateway_addresses": ["10.7.0.13"]}}`,
			},
			"nodes/gw2.json:2:31: /vpn/gateway_addresses/0: gw2: 10.7.0.13 is also gw1's (nodes/gw1.json:1)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := provider.Open(changed(t, vpn, tt.files))
			if err == nil {
				_, err = compile.Compile(i, secretsIn(t, vpnSecrets))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}
