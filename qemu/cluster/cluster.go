package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"leap.example/appliance/efi"
	"leap.example/appliance/node"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

// A Cluster is machines on a LAN. Its methods may be called from any goroutine.
type Cluster struct {
	dir        string
	hypervisor *vm.Hypervisor
	lan        *vnet.LAN
	lab        *vnet.Host
	addrs      []netip.Prefix // The lab's own.
	nodes      []*Node
	base       vm.Config // What all machines have.
	doors      func() (*vnet.Doors, error)
}

// Open makes the LAN and the disks of nodes that have none yet. No machine is
// started. ctx bounds that. The error wraps [vm.ErrMissing] if QEMU is not
// installed.
func Open(ctx context.Context, config Config) (_ *Cluster, err error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, err
	}
	c := &Cluster{dir: config.Dir}
	c.doors = sync.OnceValues(func() (*vnet.Doors, error) { return c.lab.Doors(doorNet, netip.AddrPortFrom(c.addrs[0].Addr(), 53)) })
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.base, err = Unpack(config.Dir, config.Release); err != nil {
		return nil, err
	}
	c.base.Reboots = true
	config.QEMU.Kernel = c.base.Kernel
	if c.hypervisor, err = vm.Open(ctx, config.QEMU); err != nil {
		return nil, err
	}
	if err := c.network(&config); err != nil {
		return nil, err
	}
	for k, n := range config.Nodes {
		one, err := c.add(ctx, k, n, config)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		c.nodes = append(c.nodes, one)
	}
	return c, nil
}

// Unpack writes what a release boots into files below dir, from which QEMU starts
// it without firmware, and returns a machine that has nothing but these.
func Unpack(dir string, release []byte) (m vm.Config, err error) {
	u, err := efi.OpenUKI(bytes.NewReader(release), int64(len(release)))
	if err != nil {
		return m, fmt.Errorf("release: %w", err)
	}
	m.Append = u.Cmdline
	for section, path := range map[string]*string{efi.SectionKernel: &m.Kernel, efi.SectionInitrd: &m.Initrd} {
		from, err := u.Section(section)
		if err != nil {
			return m, fmt.Errorf("release: %w", err)
		}
		*path = filepath.Join(dir, section[1:])
		to, err := os.Create(*path)
		if err != nil {
			return m, err
		}
		_, err = io.Copy(to, from)
		if err := errors.Join(err, to.Close()); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// network makes the LAN with what is not a node on it.
func (c *Cluster) network(config *Config) (err error) {
	if c.addrs, err = config.gateways(); err != nil {
		return err
	}
	if c.lan, err = vnet.New(vnet.Config{CaptureBytes: config.CaptureBytes, CaptureFile: config.CaptureFile}); err != nil {
		return err
	}
	at := c.addrs[0].Addr()
	c.lab, err = c.lan.Host("lab", vnet.HostConfig{Addrs: c.addrs, DNS: netip.AddrPortFrom(at, 53), Router: true})
	if err != nil {
		return err
	}
	any4 := netip.IPv4Unspecified()
	names := vnet.Names{Addrs: maps.Clone(config.Names), Zones: config.Zones}
	if names.Addrs == nil {
		names.Addrs = map[string][]netip.Addr{}
	}
	for _, name := range config.Self {
		names.Addrs[name] = []netip.Addr{at}
	}
	if _, err = c.lab.ServeDNS(any4, names); err != nil {
		return err
	}
	if _, err = c.lab.ServeNTP(any4); err != nil {
		return err
	}
	var leases []vnet.Lease
	for k, n := range config.Nodes {
		leases = append(leases, vnet.Lease{MAC: mac(k), Address: n.Address, Server: n.Gateway})
	}
	return c.lab.ServeDHCP(leases)
}

// Close ends all machines at once, and the LAN. Disks stay.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.close())
	}
	if c.lab != nil {
		errs = append(errs, c.lab.Close())
	}
	if c.lan != nil {
		errs = append(errs, c.lan.Close())
	}
	return errors.Join(errs...)
}

// Start starts nodes, all if none is named, few at the same time, and waits until
// their agents listen. Those that run are left alone.
func (c *Cluster) Start(ctx context.Context, names ...string) error {
	nodes := c.nodes
	if len(names) > 0 {
		nodes = nil
		for _, name := range names {
			n := c.Node(name)
			if n == nil {
				return fmt.Errorf("there is no node %s", name)
			}
			nodes = append(nodes, n)
		}
	}
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for k, n := range nodes {
		wg.Go(func() { errs[k] = n.Start(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Accel returns the accelerator in use, and why it is that one.
func (c *Cluster) Accel() (name, why string) { return c.hypervisor.Accel() }

// Lab returns this process as a member of the LAN.
func (c *Cluster) Lab() *vnet.Host { return c.lab }

// LAN returns the switch.
func (c *Cluster) LAN() *vnet.LAN { return c.lan }

// Addrs returns the lab's own addresses; services are at each of them.
func (c *Cluster) Addrs() []netip.Prefix { return c.addrs }

// Dial connects to a member of the LAN, as [vnet.Host.DialContext] does.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.lab.DialContext(ctx, network, address)
}

// doorNet is where nodes are on this machine's loopback, unless another cluster's
// are there.
var doorNet = netip.MustParseAddr("127.77.0.0")

// Doors returns what brings ports of nodes to this machine; no door is open before
// it is asked for.
func (c *Cluster) Doors() (*vnet.Doors, error) { return c.doors() }

// PublicPorts are the TCP ports of a document's services for everybody.
func PublicPorts(d node.Document) (list []uint16) {
	for _, s := range d.Services {
		for _, p := range s.Listeners {
			if p.Protocol == "tcp" && p.From == "public" {
				list = append(list, p.Port)
			}
		}
	}
	slices.Sort(list)
	return list
}

// Nodes returns all nodes, in the order of the Config.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Node returns a node by its name, or nil.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// Partition cuts these nodes off from all others, and the others from them, until
// [Cluster.Heal]. The lab reaches both.
func (c *Cluster) Partition(side ...*Node) {
	in := map[*Node]bool{}
	for _, n := range side {
		in[n] = true
	}
	for _, n := range side {
		for _, other := range c.nodes {
			if !in[other] {
				c.lan.Cut(n.port, other.port)
			}
		}
	}
}

// Heal ends all partitions.
func (c *Cluster) Heal() { c.lan.Heal() }

// Save writes into a directory, which it makes, what is known of the machines:
// consoles of all their starts, how QEMU was started, and the newest frames of
// the LAN as lan.pcap.
func (c *Cluster) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	errs := []error{c.lan.SavePcap(filepath.Join(dir, "lan.pcap"))}
	for _, n := range c.nodes {
		errs = append(errs, n.save(dir))
	}
	return errors.Join(errs...)
}
