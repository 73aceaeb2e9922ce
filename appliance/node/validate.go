package node

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseDocument reads the text of a document strictly and checks that it makes
// sense. The error joins all that is wrong, each an *[Error].
func ParseDocument(text []byte) (Document, error) {
	var d Document
	s, err := Decode("node document", text, &d)
	if err != nil {
		return Document{}, err
	}
	c := checker{s: s}
	c.schema(d.Schema)
	c.names(d.Provider, d.Node)
	c.network(d.Network)
	if d.Mesh != nil {
		c.mesh(*d.Mesh)
	}
	c.agent(d.Agent)
	c.time(d.Time)
	c.span("/gate/ready", d.Gate.Ready)
	c.span("/gate/watch", d.Gate.Watch)
	c.updates(d)
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		if !digest.MatchString(d.Secrets[name]) || !fileName(name) {
			c.failf("/secrets/"+escape(name), "a file name and a SHA-256 in hex are required")
		}
	}
	c.services(d)
	if len(c.errs) > 0 {
		return Document{}, errors.Join(c.errs...)
	}
	return d, nil
}

var (
	label  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	device = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,15}$`)
	mac    = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
)

// fileName reports whether a name is one of a file, without a directory.
func fileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 100 && !strings.ContainsAny(name, "/\x00")
}

// longest is the longest time that a document may ask a node to wait.
const longest = 24 * time.Hour

// A checker collects what is wrong with a text.
type checker struct {
	s    *Source
	errs []error
}

func (c *checker) failf(pointer, format string, args ...any) {
	c.errs = append(c.errs, c.s.Errorf(pointer, format, args...))
}

func (c *checker) schema(schema int) {
	if schema < OldestSchema || schema > Schema {
		c.failf("/schema", "schema %d is not one of those that this release reads, %d to %d", schema, OldestSchema, Schema)
	}
}

func (c *checker) names(provider, node string) {
	if !strings.Contains(provider, ".") || !domain(provider) {
		c.failf("/provider", "%q is no domain", provider)
	}
	if !label.MatchString(node) {
		c.failf("/node", "%q is no name of a node: lower-case letters, digits and dashes", node)
	}
}

func domain(name string) bool {
	return len(name) <= 253 && !slices.ContainsFunc(strings.Split(name, "."), func(l string) bool { return !label.MatchString(l) })
}

func (c *checker) span(pointer string, d Duration) {
	if time.Duration(d) < 0 || time.Duration(d) > longest {
		c.failf(pointer, "between 0 and %v", longest)
	}
}

func (c *checker) time(t Time) {
	for i, server := range t.Servers {
		if server == "" {
			c.failf(fmt.Sprintf("/time/servers/%d", i), "a name or an address is required")
		}
	}
	c.span("/time/wait", t.Wait)
}

func (c *checker) agent(a Agent) {
	if a.Port == 0 {
		c.failf("/agent/port", "a port is required")
	}
	if !strings.Contains(a.OperatorCA, "BEGIN CERTIFICATE") {
		c.failf("/agent/operator_ca", "a certificate in PEM is required")
	}
	if a.Certificate != "" && !strings.Contains(a.Certificate, "BEGIN CERTIFICATE") {
		c.failf("/agent/certificate", "a certificate in PEM is required")
	}
	deploy := len(a.Operators) == 0
	for _, print := range slices.Sorted(maps.Keys(a.Operators)) {
		role := a.Operators[print]
		sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(print, fingerprintKind))
		if err != nil || len(sum) != sha256.Size || !strings.HasPrefix(print, fingerprintKind) || role != RoleDeploy && role != RoleRead {
			c.failf("/agent/operators", "fingerprints of keys are required, like %q, with the role %q or %q", fingerprintKind+"…", RoleDeploy, RoleRead)
		}
		deploy = deploy || role == RoleDeploy
	}
	if !deploy {
		c.failf("/agent/operators", "nobody has the role %q: the node could never be changed again", RoleDeploy)
	}
}

func (c *checker) network(n Network) {
	if len(n.Interfaces) == 0 {
		c.failf("/network/interfaces", "one is required")
	}
	seen := map[string]int{}
	for i, iface := range n.Interfaces {
		pointer := "/network/interfaces/" + strconv.Itoa(i)
		c.iface(pointer, iface)
		for _, key := range []string{iface.Name, iface.MAC} {
			if first, ok := seen[key]; ok && key != "" {
				c.failf(pointer, "%s is also interface %d", key, first)
			}
			seen[key] = i
		}
	}
	for i, a := range n.Nameservers {
		if !a.IsValid() || a.IsUnspecified() {
			c.failf("/network/nameservers/"+strconv.Itoa(i), "an IP address is required")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Hosts)) {
		if !domain(name) || len(n.Hosts[name]) == 0 {
			c.failf("/network/hosts/"+escape(name), "a host name and its addresses are required")
		}
	}
}

func (c *checker) iface(pointer string, i Interface) {
	switch {
	case i.Name == "" && i.MAC == "":
		c.failf(pointer, "name or mac is required")
	case i.Name != "" && (!device.MatchString(i.Name) || i.Name == "." || i.Name == ".."):
		c.failf(pointer+"/name", "%q is no name of a network card", i.Name)
	case i.MAC != "" && !mac.MatchString(i.MAC):
		c.failf(pointer+"/mac", "%q is no hardware address: six pairs of lower-case hex digits with colons", i.MAC)
	}
	if !i.DHCP && !i.Router && len(i.Addresses) == 0 {
		c.failf(pointer, "dhcp, router or addresses is required: without them the card has no address")
	}
	for n, a := range i.Addresses {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			c.failf(fmt.Sprintf("%s/addresses/%d", pointer, n), "an address with the length of its network's prefix is required")
		}
	}
	of := map[bool]bool{}
	for n, g := range i.Gateways {
		at := fmt.Sprintf("%s/gateways/%d", pointer, n)
		switch {
		case !g.IsValid():
			c.failf(at, "an IP address is required")
		case of[g.Is4()]:
			c.failf(at, "a second default route of one IP version")
		case !g.IsLinkLocalUnicast() && !slices.ContainsFunc(i.Addresses, func(a netip.Prefix) bool { return a.Masked().Contains(g) }):
			c.failf(at, "%v is in no network of this card", g)
		}
		of[g.Is4()] = true
	}
	if i.MTU != 0 && (i.MTU < 1280 || i.MTU > 65535) {
		c.failf(pointer+"/mtu", "between 1280 and 65535")
	}
}

func (c *checker) mesh(m Mesh) {
	if !m.Address.IsValid() {
		c.failf("/mesh/address", "an address with the length of the mesh's prefix is required")
	}
	if m.Port == 0 {
		c.failf("/mesh/port", "a port is required")
	}
	names, keys, addresses := map[string]bool{}, map[string]bool{}, map[netip.Addr]bool{m.Address.Addr(): true}
	for i, p := range m.Peers {
		pointer := "/mesh/peers/" + strconv.Itoa(i)
		key, err := base64.StdEncoding.DecodeString(p.PublicKey)
		switch {
		case !label.MatchString(p.Name) || names[p.Name]:
			c.failf(pointer+"/name", "%q is no name of a node, or is here twice", p.Name)
		case err != nil || len(key) != 32 || keys[p.PublicKey]:
			c.failf(pointer+"/public_key", "32 bytes in base64 are required, that no other peer has")
		case !m.Address.Masked().Contains(p.Address) || addresses[p.Address]:
			c.failf(pointer+"/address", "an address of the mesh is required, that no other node has")
		}
		names[p.Name], keys[p.PublicKey], addresses[p.Address] = true, true, true
	}
}

func (c *checker) services(d Document) {
	ports := map[Listener]string{{"tcp", d.Agent.Port, ""}: "the agent"}
	if d.Mesh != nil {
		ports[Listener{"udp", d.Mesh.Port, ""}] = "the mesh"
	}
	if d.Updates != nil && d.Updates.Mirror != nil {
		ports[Listener{"tcp", d.Updates.Mirror.Port, ""}] = "the mirror"
	}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		s, pointer := d.Services[name], "/services/"+escape(name)
		if _, ok := ID(name); !ok {
			c.failf(pointer, "there is no such service; there are %s", strings.Join(Services(), ", "))
			continue
		}
		if _, ok := s.Sections["daemon"]; ok {
			c.failf(pointer+"/sections/daemon", "the node writes this section itself")
		}
		for i, l := range s.Listeners {
			at := fmt.Sprintf("%s/listeners/%d", pointer, i)
			port := Listener{Protocol: l.Protocol, Port: l.Port}
			if l.From == "tunnel" { // At addresses of its own.
				port.From = l.From
			}
			switch {
			case l.Protocol != "tcp" && l.Protocol != "udp", l.Port == 0, !slices.Contains([]string{"public", "mesh", "tunnel"}, l.From):
				c.failf(at, `a protocol "tcp" or "udp", a port, and from "public", "mesh" or "tunnel" are required`)
			case l.From == "mesh" && d.Mesh == nil:
				c.failf(at, "this node has no mesh")
			case l.From == "tunnel" && !d.Gateway():
				c.failf(at, "this node is no gateway: none of its services has \"net\"")
			case ports[port] != "" && ports[port] != name:
				c.failf(at, "%s already listens on port %d", ports[port], l.Port)
			}
			ports[port] = name
		}
		for _, file := range slices.Sorted(maps.Keys(s.Files)) {
			if path.Clean(file) != file || path.IsAbs(file) || file == "." || file == ".." || strings.HasPrefix(file, "../") || strings.ContainsRune(file, 0) {
				c.failf(pointer+"/files/"+escape(file), "a relative path is required")
			}
		}
		for _, file := range slices.Sorted(maps.Keys(s.Secrets)) {
			if _, ok := d.Secrets[s.Secrets[file]]; !ok || !fileName(file) {
				c.failf(pointer+"/secrets/"+escape(file), "a file name and the name of one of the document's secrets are required")
			}
		}
		if s.Memory < 0 {
			c.failf(pointer+"/memory", "a size is not negative")
		}
	}
}
