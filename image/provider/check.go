package provider

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"leap.example/appliance/node"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/provider"
)

var (
	label  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	people = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
)

func isDomain(name string) bool {
	return strings.Contains(name, ".") && len(name) <= 253 &&
		!slices.ContainsFunc(strings.Split(name, "."), func(l string) bool { return !label.MatchString(l) })
}

func (p *Provider) defaults() {
	if p.DefaultLanguage == "" {
		p.DefaultLanguage = "en"
	}
	if len(p.Languages) == 0 {
		for l := range p.Name {
			p.Languages = append(p.Languages, l)
		}
		slices.Sort(p.Languages)
	}
	if p.EnrollmentPolicy == "" {
		p.EnrollmentPolicy = "invite"
	}
	if !p.Mesh.Network.IsValid() {
		p.Mesh.Network = netip.MustParsePrefix("10.99.0.0/16")
	}
	if p.Mesh.Port == 0 {
		p.Mesh.Port = 51820
	}
	if p.Agent.Port == 0 {
		p.Agent.Port = 4499
	}
	s := &p.Service
	if len(s.Levels) == 0 { // What follows from them; who may have a VPN, and which, operators may say alone.
		s.AllowFree, s.AllowRegistration, s.DefaultServiceLevel = true, p.EnrollmentPolicy != "closed", 1
		s.Levels = map[string]provider.Level{"1": {Name: "free", Storage: 1000, Services: []string{"email", "mx"}}}
	}
	if !s.AllowLimitedBandwidth && !s.AllowUnlimitedBandwidth {
		s.AllowUnlimitedBandwidth = true
	}
}

func (p *Provider) check(v *value) (errs []error) {
	failf := func(pointer, format string, args ...any) {
		errs = append(errs, v.find(pointer).errorf(pointer, format, args...))
	}
	if !isDomain(p.Domain) {
		failf("/domain", "%q is no domain in lower case", p.Domain)
	}
	if p.Name[p.DefaultLanguage] == "" {
		failf("/name", "a name in the default language, %q, is required", p.DefaultLanguage)
	}
	if !slices.Contains([]string{"open", "invite", "closed"}, p.EnrollmentPolicy) {
		failf("/enrollment_policy", `"open", "invite" or "closed" is required`)
	}
	if p.Mesh.Network != p.Mesh.Network.Masked() || p.Mesh.Network.Bits() > p.Mesh.Network.Addr().BitLen()-2 {
		failf("/mesh/network", "a network with room for nodes is required, like 10.99.0.0/16")
	}
	if p.Agent.Port == p.Mesh.Port {
		failf("/agent/port", "this is the mesh's port too")
	}
	for _, c := range p.Contacts {
		if a, err := mail.ParseAddress(c); err != nil || a.Address != c {
			failf("/contacts", "%q is no mail address", c)
		}
	}
	return errs
}

func (i *Instance) checkUser(u *User, v *value) (errs []error) {
	failf := func(pointer, format string, args ...any) {
		errs = append(errs, v.find(pointer).errorf(pointer, format, args...))
	}
	if !people.MatchString(u.Name) {
		failf("", "%q is no name of an operator: lower-case letters, digits, _ and -", u.Name)
	}
	if u.Role != node.RoleDeploy && u.Role != node.RoleRead {
		failf("/role", "%q or %q is required", node.RoleDeploy, node.RoleRead)
	}
	if u.Role == node.RoleDeploy {
		if _, err := recipient(u.Recipient); err != nil {
			failf("/recipient", "an age recipient is required: %v", err)
		}
	}
	cert, err := certs.ParseCert([]byte(u.Certificate))
	if err != nil || !slices.Equal(cert.Subject.OrganizationalUnit, []string{u.Role}) {
		failf("/certificate", "a certificate in PEM with the role %q is required: \"leap user add\" makes it", u.Role)
	}
	return errs
}

// check looks at all nodes together.
func (i *Instance) check() (errs []error) {
	addresses, meshes, entries := map[netip.Addr]*Node{}, map[netip.Addr]*Node{}, map[netip.Addr]*Node{}
	keys := map[string]*Node{}
	for _, n := range i.Nodes {
		errs = append(errs, i.checkNode(n)...)
		for k, a := range []netip.Addr{n.IPAddress, n.IPv6Address} {
			pointer := []string{"/ip_address", "/ipv6_address"}[k]
			if other := addresses[a]; other != nil && a.IsValid() {
				errs = append(errs, n.Errorf(pointer, "%v is also %s's (%s)", a, other.Name, other.place(pointer)))
			}
			addresses[a] = n
		}
		for k, a := range n.VPN.GatewayAddresses {
			if other := entries[a]; other != nil {
				errs = append(errs, n.Errorf(fmt.Sprint("/vpn/gateway_addresses/", k), "%v is also %s's (%s)", a, other.Name, other.place("/vpn/gateway_addresses")))
			}
			entries[a] = n
		}
		if other := meshes[n.Mesh.Address]; other != nil && n.Mesh.Address.IsValid() {
			errs = append(errs, n.Errorf("/mesh/address", "%v is also %s's (%s)", n.Mesh.Address, other.Name, other.place("/mesh/address")))
		}
		meshes[n.Mesh.Address] = n
		if other := keys[n.Mesh.PublicKey]; other != nil && n.Mesh.PublicKey != "" {
			errs = append(errs, n.Errorf("/mesh/public_key", "this is also %s's (%s)", other.Name, other.place("/mesh/public_key")))
		}
		keys[n.Mesh.PublicKey] = n
	}
	return errs
}

// place is file and line of a property.
func (n *Node) place(pointer string) string {
	e := n.tree.find(pointer).errorf("", "")
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

func (i *Instance) checkNode(n *Node) (errs []error) {
	failf := func(pointer, format string, args ...any) { errs = append(errs, n.Errorf(pointer, format, args...)) }
	p := i.Provider(n.Environment)
	if e := n.Environment; e != "" && (!label.MatchString(e) || e == "node" || e == "cert") {
		failf("/environment", "%q is no name of an environment: lower-case letters, digits and dashes", e)
	}
	if a := n.IPAddress; !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		failf("/ip_address", "an IP address is required, by which the node is reached")
	}
	if a := n.IPv6Address; a.IsValid() && !a.Is6() {
		failf("/ipv6_address", "%v is no IPv6 address", a)
	}
	if a := n.Mesh.Address; a.IsValid() && (!p.Mesh.Network.Contains(a) || a == p.Mesh.Network.Addr()) {
		failf("/mesh/address", "%v is no address of the mesh's network, %v", a, p.Mesh.Network)
	}
	if !n.Mesh.Address.IsValid() && n.IsEnabled() {
		failf("/mesh", `an address in the mesh is required: "leap node add" chooses it, or write "mesh": {"address": "%v"}`, i.FreeMesh(n.Environment))
	}
	if slices.Contains(aliases, n.Name) {
		failf("", "%s.%s is a name of the provider itself: choose another name for the node (leap node mv)", n.Name, p.Domain)
	}
	for k, s := range n.Couchdb.External {
		if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			failf("/couchdb/external", "%d: an http or https URL without a password is required", k)
		}
	}
	if len(n.Couchdb.External) > 0 && n.Has("bigcouch") {
		failf("/services", "the database is external (%s), so that no node has the service couchdb", n.place("/couchdb/external"))
	}
	if _, ok := i.Files[n.Couchdb.ExternalCA]; n.Couchdb.ExternalCA != "" && !ok {
		failf("/couchdb/external_ca", "there is no file files/%s", n.Couchdb.ExternalCA)
	}
	if n.Couchdb.Shards < 0 || n.Couchdb.Copies < 0 || n.Couchdb.Heartbeat < 0 {
		failf("/couchdb", "shards, copies and heartbeat are positive")
	}
	if n.Has("gateway") {
		errs = append(errs, i.checkVPN(n)...)
	}
	errs = append(errs, i.checkUpdates(n)...)
	for s, size := range n.Memory {
		if _, ok := node.ID(s); !ok || size < 0 {
			failf("/memory/"+escape(s), "the name of a service and a size in bytes are required")
		}
	}
	return errs
}
