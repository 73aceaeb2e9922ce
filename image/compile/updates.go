package compile

import (
	"encoding/json"

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
		Vendor: c.repository(u.Vendor), Director: c.repository(u.Director),
		Poll: u.Poll, Windows: u.Windows, Canary: u.Canary, Slot: c.slot(),
	}
}

func (c *nodeCompiler) repository(r provider.Repository) node.Repository {
	return node.Repository{Sources: r.Sources, Root: string(c.i.Files[r.Root])}
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
