package cluster_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leap.example/image/provider"
	"leap.example/qemu/cluster"
)

// TestOf asks an instance.
func TestOf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	keys := filepath.Join(t.TempDir(), "keys.json")
	err := provider.New(dir, provider.Answers{Domain: "demo.example", Name: "Demo", Contact: "postmaster@demo.example", Enrollment: "open", Operator: "alice"}, keys, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	i, err := provider.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	op, err := provider.ReadOperator(keys)
	if err != nil {
		t.Fatal(err)
	}
	v, err := i.Unlock(op)
	if err != nil {
		t.Fatal(err)
	}
	for name, seeds := range map[string][]string{
		"db":  {"services:couchdb", "ip_address:192.0.2.11"},
		"web": {"services:webapp", "ip_address:10.77.0.12", `network:{"interfaces":[{"name":"eth0","addresses":["10.77.0.12/16"],"gateways":["10.77.0.1"]}]}`},
	} {
		if i, err = i.AddNode(v, name, seeds, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	secrets, err := v.All()
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Of(i, "", secrets)
	if err != nil {
		t.Fatal(err)
	}
	db, web := c.Nodes[0], c.Nodes[1]
	if db.Name != "db" || db.Address.String() != "192.0.2.11/24" || db.Gateway.IsValid() || db.AgentPort == 0 || len(db.Identity) != 1<<20 {
		t.Errorf("db is %s, %v, %v, %d", db.Name, db.Address, db.Gateway, db.AgentPort)
	}
	if web.Address.String() != "10.77.0.12/16" || web.Gateway.String() != "10.77.0.1" {
		t.Errorf("web is %v, %v", web.Address, web.Gateway)
	}
	if !slices.Equal(c.Self, []string{"0.pool.ntp.org", "1.pool.ntp.org"}) || len(c.Zones) > 0 {
		t.Errorf("time servers %v, zones %v", c.Self, c.Zones)
	}
	if a := c.Names["api.demo.example"]; !slices.Equal(a, []netip.Addr{netip.MustParseAddr("10.77.0.12")}) || len(c.Names["db.demo.example"]) != 1 {
		t.Errorf("names %v", c.Names)
	}
	if err := provider.Set(dir, "nodes/web.json", provider.Member{Pointer: "/services", Value: []string{"webapp", "dns"}}); err != nil {
		t.Fatal(err)
	}
	if i, err = provider.Open(dir); err != nil {
		t.Fatal(err)
	}
	if c, err = cluster.Of(i, "", secrets); err != nil || !slices.Equal(c.Zones["demo.example"], []netip.Addr{netip.MustParseAddr("10.77.0.12")}) {
		t.Errorf("with a name server: zones %v, %v", c.Zones, err)
	}
	if _, err := cluster.Of(i, "", nil); err == nil {
		t.Error("identities without secrets")
	}
}
