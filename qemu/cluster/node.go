package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"leap.example/image/disk"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

// VarsExt is what the name of a file with the variables of a node's firmware ends with.
const VarsExt = ".vars"

const (
	dialPatience = 2 * time.Second        // For one connection to an agent.
	dialEvery    = 200 * time.Millisecond // How often an agent is looked for.
)

// A Node is a machine that is on or off. Its methods may be called from any
// goroutine.
type Node struct {
	name   string
	dial   func(context.Context) error // Connects to its agent.
	port   *vnet.Port
	config vm.Config
	addr   netip.Addr
	dir    string
	start  func(context.Context, vm.Config) (*vm.Machine, error)

	mu sync.Mutex // Held while it starts and stops.

	seen    sync.Mutex // Guards what follows.
	machine *vm.Machine
	starts  int
}

// add makes a node with its disks, and plugs it in.
func (c *Cluster) add(ctx context.Context, k int, n NodeConfig, config Config) (*Node, error) {
	port, err := c.lan.Listen(n.Name)
	if err != nil {
		return nil, err
	}
	one := &Node{name: n.Name, port: port, config: c.base, addr: n.Address.Addr(), dir: c.dir, start: c.hypervisor.Start}
	at := netip.AddrPortFrom(one.addr, n.AgentPort).String()
	one.dial = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, dialPatience)
		defer cancel()
		conn, err := c.lab.DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	m := &one.config
	m.Name, m.Memory = n.Name, n.Memory
	if m.Memory == 0 {
		m.Memory = defaultMemory
	}
	m.NICs = []vm.NIC{{Socket: port.Path(), MAC: mac(k)}}
	m.Drives = []vm.Drive{{Path: one.Disk(), Volatile: true}}
	if err := flash(ctx, one.Disk(), config.Image, config.DiskSize); err != nil {
		return nil, err
	}
	vars := c.path(n.Name + VarsExt)
	if _, err := os.Stat(vars); err == nil || config.Firmware {
		m.Kernel, m.Initrd, m.Append, m.UEFI = "", "", "", &vm.UEFI{Vars: vars}
	}
	if len(n.Identity) > 0 {
		path := c.path(n.Name + ".identity")
		if err := disk.FlashIdentity(ctx, path, n.Identity); err != nil {
			return nil, err
		}
		m.Drives = append(m.Drives, vm.Drive{Path: path, ReadOnly: true})
	}
	return one, nil
}

// flash makes a disk, unless it is there. A half-made one is none.
func flash(ctx context.Context, path, image string, size int64) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	half := path + ".new"
	if err := errors.Join(os.WriteFile(half, nil, 0o600), os.Truncate(half, size)); err != nil {
		return err
	}
	if err := disk.Flash(ctx, half, image, nil); err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return errors.Join(os.Chmod(half, 0o600), os.Rename(half, path))
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Addr returns its address on the LAN.
func (n *Node) Addr() netip.Addr { return n.addr }

// Disk returns the file of its disk.
func (n *Node) Disk() string { return filepath.Join(n.dir, n.name+".disk") }

// Port returns where its cable is plugged in.
func (n *Node) Port() *vnet.Port { return n.port }

// Machine returns what runs, or ran last; nil before the first start.
func (n *Node) Machine() *vm.Machine {
	n.seen.Lock()
	defer n.seen.Unlock()
	return n.machine
}

// Start switches the node on, if it is not, and waits until its agent listens. If
// ctx ends before, the node is off.
func (n *Node) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.On() {
		return nil
	}
	config := n.config
	config.Serial, config.Ready = n.serial(n.starts+1), n.ready // Nobody else changes it.
	m, err := n.start(ctx, config)
	if err != nil {
		return err
	}
	n.seen.Lock()
	defer n.seen.Unlock()
	n.machine, n.starts = m, n.starts+1
	return nil
}

// serial is the file of the console of a start.
func (n *Node) serial(start int) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-%d.serial", n.name, start))
}

// ready waits until the agent listens.
func (n *Node) ready(ctx context.Context, m *vm.Machine) error {
	tick := time.NewTicker(dialEvery)
	defer tick.Stop()
	for {
		err := n.dial(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-m.Done():
			return errors.New("it ended before its agent listened")
		case <-ctx.Done():
			return fmt.Errorf("its agent does not listen: %w", err)
		}
	}
}

// PowerCut ends the machine as the loss of its power does. One that is off stays
// so.
func (n *Node) PowerCut(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.machine == nil {
		return nil
	}
	return n.machine.PowerCut(ctx)
}

// Stop presses the power button, and cuts the power if the machine does not end
// within patience. One that is off stays so.
func (n *Node) Stop(ctx context.Context, patience time.Duration) error {
	if !n.On() {
		return nil
	}
	m := n.Machine()
	if err := m.PowerButton(ctx); err == nil {
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if _, err := m.Wait(wait); err == nil {
			return m.Close()
		}
	}
	return n.PowerCut(ctx)
}

// On reports whether the machine runs.
func (n *Node) On() bool {
	m := n.Machine()
	if m == nil {
		return false
	}
	select {
	case <-m.Done():
		return false
	default:
		return true
	}
}

// Console is the file with what its latest start wrote.
func (n *Node) Console() string {
	n.seen.Lock()
	defer n.seen.Unlock()
	return n.serial(max(n.starts, 1))
}

// close ends the machine at once.
func (n *Node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.machine == nil {
		return nil
	}
	return n.machine.Close()
}

// save writes what is known of the machine.
func (n *Node) save(dir string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.machine == nil {
		return nil
	}
	errs := []error{n.machine.Save(dir)}
	for k := range n.starts {
		path := n.serial(k + 1)
		text, err := os.ReadFile(path)
		errs = append(errs, err, os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600))
	}
	return errors.Join(errs...)
}
