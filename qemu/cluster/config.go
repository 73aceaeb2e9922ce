package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/qemu/vm"
)

// Config is a cluster that is not open yet. [Of] fills in what an instance says.
type Config struct {
	// Dir is where disks and consoles are. It is made. Required.
	Dir string
	// Release is a unified kernel image, and Image the file of a disk image with
	// it. Required.
	Release []byte
	Image   string
	// Firmware has nodes start from their disks as real machines do, by firmware and
	// boot loader, so that they can come to other releases. A node that has started so
	// once goes on to.
	Firmware bool
	// DiskSize is the size of a new node's disk in bytes. 0: that of the image.
	DiskSize int64

	Nodes []NodeConfig // Required.
	// Names are host names that the name server knows, and Zones those whose name
	// servers are nodes. Names of Self are the lab's own: time servers, usually.
	Names, Zones map[string][]netip.Addr
	Self         []string

	// QEMU says how machines are run. Its kernel is that of the release.
	QEMU vm.Options
	// CaptureBytes is how many bytes of frames, the newest, [Cluster.Save] has to
	// write. 0: 8 MiB. CaptureFile, if it is not empty, gets every frame.
	CaptureBytes int
	CaptureFile  string
}

// NodeConfig is one node of a Config.
type NodeConfig struct {
	Name string // Of the node. Required.
	// Address is the node's IPv4 address, with the length of its network. The
	// node has it by itself or asks for it by DHCP. Required.
	Address netip.Prefix
	// Gateway is the address at which the node expects a gateway and other
	// services: the lab takes it. Zero: the first address of its network that no
	// node has.
	Gateway netip.Addr
	// AgentPort is the TCP port of its agent. Required.
	AgentPort uint16
	// Identity is the content of its identity disk. Nil: it has taken it before.
	Identity []byte
	// Memory is in MiB. 0: 512.
	Memory int
}

const defaultMemory = 512

// Of returns what an instance says of the nodes of an environment. secrets has to
// hold the keys of their agents.
func Of(i *provider.Instance, env string, secrets map[string][]byte) (Config, error) {
	c := Config{Names: map[string][]netip.Addr{}, Zones: map[string][]netip.Addr{}}
	for _, n := range i.In(env, "") {
		id, err := compile.Identity(i, n, secrets)
		if err != nil {
			return c, err
		}
		content, err := compile.SignIdentity(id, secrets)
		if err != nil {
			return c, err
		}
		one := NodeConfig{Name: n.Name, Address: netip.PrefixFrom(n.IPAddress, 24), AgentPort: id.Agent.Port, Identity: content}
		for _, a := range id.Interface.Addresses {
			if a.Addr() == n.IPAddress { // A gateway has more.
				one.Address = a
			}
		}
		for _, a := range id.Interface.Gateways {
			if a.Is4() {
				one.Gateway = a
			}
		}
		if !one.Address.Addr().Is4() {
			return c, n.Errorf("/ip_address", "a lab needs an IPv4 address")
		}
		c.Nodes = append(c.Nodes, one)
		for _, server := range n.Time.Servers {
			host, _, err := net.SplitHostPort(server)
			if err != nil {
				host = server
			}
			if _, err := netip.ParseAddr(host); err != nil && !slices.Contains(c.Self, host) {
				c.Self = append(c.Self, host)
			}
		}
		if n.IsNameServer() {
			c.Zones[i.Domain(env)] = append(c.Zones[i.Domain(env)], n.Addresses()...)
		}
	}
	if len(c.Zones) > 0 {
		return c, nil
	}
	for _, h := range i.Hosts(env) {
		name := i.Domain(env)
		if h.Name != "" {
			name = h.Name + "." + name
		}
		c.Names[name] = append(c.Names[name], h.Addresses()...)
	}
	return c, nil
}

// validate finds what would fail less clearly.
func (c *Config) validate() error {
	switch {
	case c.Dir == "":
		return errors.New("a cluster needs a directory")
	case len(c.Release) == 0 || c.Image == "":
		return errors.New("a cluster needs a release and a disk image with it")
	case len(c.Nodes) == 0:
		return errors.New("a cluster without nodes")
	}
	for k, n := range c.Nodes {
		switch {
		case slices.ContainsFunc(c.Nodes[:k], func(o NodeConfig) bool {
			return o.Name == n.Name || o.Address.Addr() == n.Address.Addr()
		}):
			return fmt.Errorf("there are two nodes %s, or two with the address %v", n.Name, n.Address.Addr())
		case !n.Address.IsValid() || !n.Address.Addr().Is4():
			return fmt.Errorf("node %s: %v is no IPv4 address", n.Name, n.Address)
		case n.AgentPort == 0:
			return fmt.Errorf("node %s: the port of its agent is not said", n.Name)
		case n.Gateway.IsValid() && (!n.Address.Contains(n.Gateway) || n.Gateway == n.Address.Addr()):
			return fmt.Errorf("node %s: its gateway %v is not in its network", n.Name, n.Gateway)
		}
	}
	return nil
}

// gateways gives each node its gateway, and returns the lab's own addresses: one
// in each network at least.
func (c *Config) gateways() (own []netip.Prefix, err error) {
	has := func(n NodeConfig) bool {
		return slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr() == n.Gateway })
	}
	for _, n := range c.Nodes {
		if n.Gateway.IsValid() && !has(n) {
			own = append(own, netip.PrefixFrom(n.Gateway, n.Address.Bits()))
		}
	}
	for k := range c.Nodes {
		n := &c.Nodes[k]
		if n.Gateway.IsValid() {
			continue
		}
		at := slices.IndexFunc(own, func(p netip.Prefix) bool { return p.Contains(n.Address.Addr()) })
		if at < 0 {
			a, err := c.free(n.Address.Masked())
			if err != nil {
				return nil, err
			}
			at, own = len(own), append(own, netip.PrefixFrom(a, n.Address.Bits()))
		}
		n.Gateway = own[at].Addr()
	}
	return own, nil
}

// free returns the first address of a network that no node has.
func (c *Config) free(network netip.Prefix) (netip.Addr, error) {
	for a := network.Addr().Next(); network.Contains(a.Next()); a = a.Next() { // The last one is for broadcasts.
		if !slices.ContainsFunc(c.Nodes, func(n NodeConfig) bool { return n.Address.Addr() == a }) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the network %v has no room for a gateway", network)
}

// mac is the hardware address of the k-th node. It stays the same as long as the
// list of nodes does.
func mac(k int) net.HardwareAddr {
	return bytes.Join([][]byte{{0x52, 0x54, 0, 0x77}, {byte(k >> 8), byte(k)}}, nil)
}
