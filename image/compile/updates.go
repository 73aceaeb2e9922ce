package compile

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"leap.example/appliance/node"
	"leap.example/image/provider"
)

// agentAccount is the one by which nodes agree on who restarts.
const agentAccount = "agent"

// updates has the node update itself, if the operator wants that.
func (c *nodeCompiler) updates() {
	u := c.n.Updates
	if !u.On() {
		return
	}
	c.doc.Updates = &node.Updates{
		Vendor: c.repository("vendor", u.Vendor), Director: c.repository("director", u.Director), Mirror: c.mirror(),
		Poll: u.Poll, Windows: u.Windows, Canary: u.Canary, Slot: c.slot(),
	}
}

// repository is one as the node asks for it: the node's own copy, those of other
// nodes, what the operator says.
func (c *nodeCompiler) repository(name string, r provider.Repository) node.Repository {
	var sources []string
	if c.n.Updates.Mirror != nil {
		sources = append(sources, copyOf(c.n, name))
	}
	sources = append(sources, c.copies(name)...)
	return node.Repository{Sources: append(sources, r.Sources...), Root: string(c.i.Files[r.Root])}
}

// copies are where the other nodes of the environment serve theirs. Not all nodes ask
// the same one first.
func (c *nodeCompiler) copies(name string) (urls []string) {
	all := c.i.In(c.n.Environment, "")
	for _, other := range all {
		if other != c.n && other.Updates.Mirror != nil {
			urls = append(urls, copyOf(other, name))
		}
	}
	if len(urls) > 0 {
		first := slices.Index(all, c.n) % len(urls)
		urls = slices.Concat(urls[first:], urls[:first])
	}
	return urls[:min(len(urls), maxCopies)]
}

// maxCopies is how many other nodes are asked.
const maxCopies = 4

// copyOf is where a node serves its copy.
func copyOf(n *provider.Node, name string) string {
	return fmt.Sprintf("http://%s/%s/", netip.AddrPortFrom(n.Mesh.Address, provider.MirrorPort), name)
}

// mirror is how the node keeps copies: from where the operator says, and only if
// nothing is there from other nodes.
func (c *nodeCompiler) mirror() *node.Mirror {
	u := c.n.Updates
	if u.Mirror == nil {
		return nil
	}
	return &node.Mirror{
		Vendor:   slices.Concat(u.Vendor.Sources, c.copies("vendor")),
		Director: slices.Concat(u.Director.Sources, c.copies("director")),
		Keep:     u.Mirror.Keep, Port: provider.MirrorPort,
	}
}

// slot is where nodes of an environment agree on who restarts: in its database, as
// services reach it. A node that is alone has nobody to agree with.
func (c *nodeCompiler) slot() *node.Slot {
	if len(c.i.In(c.n.Environment, "")) < 2 {
		return nil
	}
	s := &serviceCompiler{nodeCompiler: c, name: agentAccount}
	cfg := s.database(agentAccount)
	if len(cfg.URLs) == 0 {
		c.c.warnf("%s: without a database the nodes cannot agree on which of them restarts for an update: give them maintenance windows that do not overlap", c.n.Name)
		return nil
	}
	cfg.PasswordFile = node.SlotPassword
	ca := ""
	if cfg.CAFile != "" {
		cfg.CAFile, ca = node.SlotAuthority, s.out.Files[externalCA]
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		s.failf("/updates", "%v", err)
	}
	secret := provider.Scoped(c.n.Environment, "password."+agentAccount)
	s.secret("slot.password", secret)
	return &node.Slot{Couch: text, Secret: secret, Authority: ca}
}
