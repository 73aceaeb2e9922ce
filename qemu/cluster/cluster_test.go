package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/gpt"
	"leap.example/image/disk"
	"leap.example/qemu/cluster"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

const agentPort = 4499

var release = efitest.UKI("1.2.3", "kernel", "files")

// config is a cluster of these nodes, on a QEMU that is none.
func config(t *testing.T, nodes ...cluster.NodeConfig) cluster.Config {
	t.Helper()
	t.Setenv(as, "1")
	image := filepath.Join(t.TempDir(), "image")
	err := disk.Write(t.Context(), image, disk.Options{UKI: release, BootLoader: efitest.Program(".text", "boot loader"), Perm: gpt.LeastPerm}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Config{
		Dir: filepath.Join(t.TempDir(), "lab"), Release: release, Image: image, Nodes: nodes,
		QEMU: vm.Options{Program: os.Args[0], Accel: vm.TCG},
	}
}

func nodeConfig(name, address string) cluster.NodeConfig {
	return cluster.NodeConfig{Name: name, Address: netip.MustParsePrefix(address), AgentPort: agentPort, Identity: make([]byte, 512)}
}

// blank gives the nodes disks that nobody reads, instead of flashing them.
func blank(t *testing.T, c cluster.Config) cluster.Config {
	t.Helper()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := os.WriteFile(filepath.Join(c.Dir, n.Name+".disk"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func open(t *testing.T, c cluster.Config) *cluster.Cluster {
	t.Helper()
	one, err := cluster.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := one.Close(); err != nil {
			t.Error(err)
		}
	})
	return one
}

// listen has an agent listen at the address of a node, whose machine is a fake.
func listen(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	addr := c.Node(name).Addr()
	h, err := c.LAN().Host(name+"-guest", vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24)}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.ListenTCP(netip.AddrPortFrom(addr, agentPort))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // It was only to be opened.
		}
	}()
	t.Cleanup(func() {
		_ = l.Close() // Its end is seen below.
		<-done
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLife(t *testing.T) {
	one, two := nodeConfig("one", "10.77.0.11/24"), nodeConfig("two", "10.77.0.12/24")
	two.Memory = 700
	given := config(t, one, two)
	given.Self = []string{"time.example"}
	given.Names = map[string][]netip.Addr{"demo.example": {one.Address.Addr()}}
	given.DiskSize = 1 << 30
	c := open(t, given)
	listen(t, c, "one")
	listen(t, c, "two")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if c.Node("one").Machine() != nil || c.Node("three") != nil {
		t.Error("a machine runs before it was started, or a node is there that nobody wanted")
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx, "three"); err == nil {
		t.Error("a node was started that is not there")
	}
	m := c.Node("one").Machine()
	if err := c.Start(ctx, "one"); err != nil || c.Node("one").Machine() != m {
		t.Errorf("one that runs was started: %v", err)
	}
	if err := c.Node("one").PowerCut(ctx); err != nil {
		t.Error(err)
	}
	<-m.Done()
	if err := c.Node("one").PowerCut(ctx); err != nil {
		t.Errorf("without power: %v", err)
	}
	if err := c.Start(ctx, "one"); err != nil || c.Node("one").Machine() == m {
		t.Errorf("started again: %v", err)
	}
	if info, err := os.Stat(c.Node("one").Disk()); err != nil || info.Size() != 1<<30 {
		t.Errorf("the disk: %v, %v", info, err)
	}
	for _, at := range []string{"demo.example:4499", "time.example:53"} {
		conn, err := c.Dial(ctx, "tcp", at)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		_ = conn.Close() // It was only to be opened.
	}
	saved(t, c)
}

// saved looks at what is left for those who want to know why.
func saved(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "why")
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	want := []string{"lan.pcap", "one-1.serial", "one-2.serial", "one.qemu.txt", "one.serial.log", "two-1.serial", "two.qemu.txt", "two.serial.log"}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("saved are %v, want %v", got, want)
	}
	for name, part := range map[string]string{"one-1.serial": "guest: up", "two.qemu.txt": " -m 700 ", "one.qemu.txt": "one.identity,readonly=on"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(text), part) {
			t.Errorf("%s: no %q, %v: %s", name, part, err, text)
		}
	}
}

// TestAgain opens the same cluster twice.
func TestAgain(t *testing.T) {
	given := config(t, nodeConfig("one", "10.77.0.11/24"))
	c := open(t, given)
	path := c.Node("one").Disk()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := []byte("written by the node")
	if _, err := f.WriteAt(written, 700<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	given.Nodes[0].Identity = nil
	open(t, given)
	got := make([]byte, len(written))
	if f, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // Only read.
	if _, err := f.ReadAt(got, 700<<20); err != nil || !bytes.Equal(got, written) {
		t.Errorf("the disk has %q, %v", got, err)
	}
}

// TestNoAgent starts a node whose agent does not listen in time.
func TestNoAgent(t *testing.T) {
	c := open(t, blank(t, config(t, nodeConfig("one", "10.77.0.11/24"))))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := c.Start(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "agent") || !strings.Contains(err.Error(), "guest: up") {
		t.Errorf("no agent: %v", err)
	}
}

func TestPartition(t *testing.T) {
	c := open(t, blank(t, config(t, nodeConfig("one", "10.77.0.11/24"), nodeConfig("two", "10.77.0.12/24"), nodeConfig("three", "10.77.0.13/24"))))
	one, two, three := c.Node("one").Port(), c.Node("two").Port(), c.Node("three").Port()
	cut := func(from, to *vnet.Port) bool {
		before := to.Stats().Cut
		from.Send(append(bytes.Repeat([]byte{0xff}, 6), make([]byte, 60)...))
		return to.Stats().Cut > before
	}
	c.Partition(c.Node("one"), c.Node("two"))
	if cut(one, two) || cut(two, one) || !cut(one, three) || !cut(three, two) || cut(three, c.Lab().Port()) || cut(c.Lab().Port(), one) {
		t.Error("the partition is not between one and two, and three")
	}
	c.Heal()
	if cut(one, three) || cut(three, one) {
		t.Error("it is not healed")
	}
}

func TestBadConfigs(t *testing.T) {
	good := config(t, nodeConfig("one", "10.77.0.11/24"))
	for want, change := range map[string]func(*cluster.Config){
		"directory":         func(c *cluster.Config) { c.Dir = "" },
		"needs a release":   func(c *cluster.Config) { c.Image = "" },
		"release: ":         func(c *cluster.Config) { c.Release = []byte("no program") },
		"without nodes":     func(c *cluster.Config) { c.Nodes = nil },
		"two nodes one":     func(c *cluster.Config) { c.Nodes = append(c.Nodes, nodeConfig("one", "10.77.0.12/24")) },
		"with the address":  func(c *cluster.Config) { c.Nodes = append(c.Nodes, nodeConfig("two", "10.77.0.11/24")) },
		"no IPv4 address":   func(c *cluster.Config) { c.Nodes[0].Address = netip.MustParsePrefix("fd77::1/64") },
		"port of its agent": func(c *cluster.Config) { c.Nodes[0].AgentPort = 0 },
		"its gateway":       func(c *cluster.Config) { c.Nodes[0].Gateway = netip.MustParseAddr("10.78.0.1") },
		"no room":           func(c *cluster.Config) { c.Nodes[0].Address = netip.MustParsePrefix("10.77.0.2/31") },
		"no name of a port": func(c *cluster.Config) { c.Nodes[0].Name = "a node" },
		"no such file":      func(c *cluster.Config) { c.Image = "/no/image" },
		"identity disk":     func(c *cluster.Config) { c.Nodes[0].Identity = []byte("x") },
		"not installed":     func(c *cluster.Config) { c.QEMU.Program = "/no/qemu" },
	} {
		c := good
		c.Dir, c.Nodes = filepath.Join(t.TempDir(), "lab"), slices.Clone(good.Nodes)
		change(&c)
		if one, err := cluster.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
			if err == nil {
				_ = one.Close() // It should not be open.
			}
		}
	}
}

// TestGateways has the lab be the gateway that nodes expect, in each network.
func TestGateways(t *testing.T) {
	named := nodeConfig("named", "10.78.0.11/16")
	named.Gateway = netip.MustParseAddr("10.78.0.254")
	c := open(t, blank(t, config(t, nodeConfig("first", "10.77.0.1/24"), nodeConfig("other", "10.77.0.3/24"), named, nodeConfig("with", "10.78.5.5/16"))))
	want := []netip.Prefix{netip.MustParsePrefix("10.78.0.254/16"), netip.MustParsePrefix("10.77.0.2/24")}
	if got := c.Addrs(); !slices.Equal(got, want) {
		t.Errorf("the lab has %v, want %v", got, want)
	}
}
