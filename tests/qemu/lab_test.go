package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

// patience is for anything that a busy machine without KVM may take.
const patience = 3 * time.Minute

// A lab is a LAN with this process on it, which has names for the machines.
//
//	self 10.77.0.1 fd77::1 -- switch -- n1 10.77.0.11 fd77::11, n2 …
type lab struct {
	t      *testing.T
	lan    *vnet.LAN
	self   *vnet.Host
	client *http.Client
	initrd string
	nodes  []*node
}

// A node is a machine with its place on the LAN, which it keeps when it starts
// again.
type node struct {
	lab     *lab
	port    *vnet.Port
	config  vm.Config
	machine *vm.Machine
	v4, v6  netip.Addr
}

// newLab plugs in n nodes and does not start them.
func newLab(t *testing.T, n int) *lab {
	t.Helper()
	if !*boot {
		t.Skip("boots virtual machines: run with -qemu (make qemu-test)")
	}
	if _, err := hypervisor(); err != nil {
		t.Fatal(err)
	}
	lan, err := vnet.New(vnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, lan: lan, initrd: guest(t)}
	t.Cleanup(l.close)
	at := netip.MustParseAddr("10.77.0.1")
	l.self, err = lan.Host("self", vnet.HostConfig{
		Addrs: []netip.Prefix{netip.PrefixFrom(at, 24), netip.MustParsePrefix("fd77::1/64")}, DNS: netip.AddrPortFrom(at, 53),
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]netip.Addr{}
	for i := 1; i <= n; i++ {
		l.add(i)
		name := l.nodes[i-1].config.Name + ".lab"
		names[name] = []netip.Addr{l.nodes[i-1].v4, l.nodes[i-1].v6}
	}
	if _, err := l.self.ServeDNS(at, vnet.Names{Addrs: names}); err != nil {
		t.Fatal(err)
	}
	l.client = &http.Client{Transport: &http.Transport{DialContext: l.self.DialContext, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	return l
}

// add plugs in the node with a number.
func (l *lab) add(i int) {
	n := &node{lab: l, v4: netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)}), v6: netip.MustParseAddr(fmt.Sprint("fd77::", 10+i))}
	l.nodes = append(l.nodes, n)
	name := fmt.Sprint("n", i)
	var err error
	if n.port, err = l.lan.Listen(name); err != nil {
		l.t.Fatal(err)
	}
	path, err := kernel()
	if err != nil {
		l.t.Fatal(err)
	}
	disk := filepath.Join(l.t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 1<<20)); err != nil {
		l.t.Fatal(err)
	}
	n.config = vm.Config{
		Name: name, Kernel: path, Initrd: l.initrd, Memory: 128,
		Append: fmt.Sprintf("console=ttyS0 quiet panic=1 oops=panic no_timer_check addrs=%v/24,%v/64 dns=10.77.0.1:53", n.v4, n.v6),
		Drives: []vm.Drive{{Path: disk, Volatile: true}},
		NICs:   []vm.NIC{{Socket: n.port.Path(), MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, byte(i)}}},
		Ready: func(ctx context.Context, m *vm.Machine) error {
			if _, err := m.WaitSerial(ctx, 0, "guest: up"); err != nil {
				return err
			}
			return until(ctx, name+" answers", func() error { _, err := n.get(n.v4.String(), "/uptime"); return err })
		},
	}
}

// close ends all, and leaves what a failed test needs.
func (l *lab) close() {
	var errs []error
	if l.t.Failed() {
		dir := filepath.Join(*artefacts, l.t.Name())
		errs = append(errs, os.MkdirAll(dir, 0o700), l.lan.SavePcap(filepath.Join(dir, "lan.pcap")))
		for _, n := range l.nodes {
			if n.machine != nil {
				errs = append(errs, n.machine.Save(dir))
			}
		}
		l.t.Logf("consoles and a capture are in %s", dir)
	}
	for _, n := range l.nodes {
		if n.machine != nil {
			errs = append(errs, n.machine.Close())
		}
	}
	if l.self != nil {
		errs = append(errs, l.self.Close())
	}
	if err := errors.Join(append(errs, l.lan.Close())...); err != nil {
		l.t.Error(err)
	}
}

// start starts a node and waits until it answers.
func (n *node) start(ctx context.Context) error {
	h, err := hypervisor()
	if err != nil {
		return err
	}
	m, err := h.Start(ctx, n.config)
	if err == nil {
		n.machine = m
	}
	return err
}

// mustStart starts some nodes at once.
func (l *lab) mustStart(nodes ...*node) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	done := make(chan error)
	begin := time.Now()
	for _, n := range nodes {
		go func() { done <- n.start(ctx) }()
	}
	var errs []error
	for range nodes {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
	l.t.Logf("%d started within %v", len(nodes), time.Since(begin).Round(time.Millisecond))
}

// do asks a node, by one of its addresses or names.
func (n *node) do(ctx context.Context, method, host, path, body string) (string, error) {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	return answered(n.lab.client.Do(r))
}

func (n *node) get(host, path string) (string, error) {
	return n.do(n.lab.t.Context(), http.MethodGet, host, path, "")
}

// answered reads the answer to a request.
func answered(r *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }() // Only read.
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, b)
	}
	return string(b), err
}

// ended waits until a node's machine has ended, for a reason.
func (n *node) ended(reason string) {
	n.lab.t.Helper()
	ctx, cancel := context.WithTimeout(n.lab.t.Context(), patience)
	defer cancel()
	if exit, err := n.machine.Wait(ctx); err != nil || exit.Reason != reason {
		n.lab.t.Errorf("%s ended: %v, %v; want %s", n.config.Name, exit, err, reason)
	}
}

// end asks a node for what ends it. It does not answer that.
func (n *node) end(path, reason string) {
	n.lab.t.Helper()
	ctx, cancel := context.WithCancel(n.lab.t.Context())
	asked := make(chan bool)
	go func() {
		defer close(asked)
		_, _ = n.do(ctx, http.MethodPost, n.v4.String(), path, "")
	}()
	n.ended(reason)
	cancel()
	<-asked
}
