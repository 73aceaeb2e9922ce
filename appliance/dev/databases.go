package dev

import "fmt"

// MaxNodes is how many database nodes there can be.
const MaxNodes = 5

// A Database is one of several nodes of the database, each a process of its own.
type Database struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	PIDFile string `json:"pid_file"` // Written when the process starts.

	Listen, Peer              string `json:"-"` // host:port.
	Dir                       string `json:"-"`
	KeyFile                   string `json:"-"` // That seals the store.
	CertFile, CertKey, CAFile string `json:"-"`
	Config                    string `json:"-"` // Of the process.
}

// Databases returns the nodes of the database, none if there is but one. The
// first has the store of a provider that had one.
func (p Provider) Databases() (list []Database) {
	if p.Nodes < 2 {
		return nil
	}
	for i := range p.Nodes {
		name := string(rune('a' + i))
		d := Database{
			Name: name, Listen: p.Addr(PortCouchMore + i), Peer: p.Addr(PortPeer + i),
			Dir: p.Path("couch-" + name), KeyFile: p.Path("bigcouch", "store-"+name+".key"),
			CertFile: p.Path("certs", "peer-"+name+".crt"), CertKey: p.Path("certs", "peer-"+name+".key"), CAFile: p.Path("ca", "peer_ca.crt"),
			Config: p.Path("bigcouch", "node-"+name+".json"), PIDFile: p.Path("bigcouch", "node-"+name+".pid"),
		}
		if i == 0 {
			d.Listen, d.Dir, d.KeyFile = p.Addr(PortCouch), p.Path("couch"), p.Path("bigcouch", "store.key")
		}
		d.URL = "http://" + d.Listen
		list = append(list, d)
	}
	return list
}

// Settle finds out how many database nodes a provider has that was started
// before: their number can grow from one to several, and does not change then.
func (p Provider) Settle() (Provider, error) {
	if p.Nodes < 0 || p.Nodes > MaxNodes || p.Nodes == 2 || p.Nodes == 4 {
		return p, fmt.Errorf("--nodes %d: choose 1, 3 or 5", p.Nodes)
	}
	e, err := ReadEndpoints(p.Dir)
	have := len(e.Databases)
	switch {
	case err != nil || have == 0:
		p.Nodes = max(1, p.Nodes)
	case p.Nodes != 0 && p.Nodes != have:
		return p, fmt.Errorf("--nodes %d: the provider under %s has %d database nodes", p.Nodes, p.Dir, have)
	default:
		p.Nodes = have
	}
	return p, nil
}

// peers makes what database nodes know each other by.
func (p Provider) peers() error {
	nodes := p.Databases()
	if nodes == nil {
		return nil
	}
	ca, key, err := p.ca("peer_ca", false)
	if err != nil {
		return err
	}
	for _, d := range nodes {
		if err := p.leaf(ca, key, "peer-"+d.Name, []string{d.Name}); err != nil {
			return err
		}
		if err := p.once(hexKey, "bigcouch", "store-"+d.Name+".key"); err != nil {
			return err
		}
	}
	return nil
}
