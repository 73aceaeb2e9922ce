package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/qemu/cluster"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
	"leap.example/tests/lab"
)

// A rig is a LAN with this process and one machine on it, in which a saboteur
// obeys this process.
type rig struct {
	dir     string
	op      *operator
	lan     *vnet.LAN
	self    *vnet.Host
	machine *lab.Machine
	orders  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	h := hypervisor(t)
	l := &rig{dir: t.TempDir()}
	var err error
	l.lan, err = vnet.New(vnet.Config{CaptureBytes: 32 << 20})
	check(t, err)
	t.Cleanup(func() { check(t, l.lan.Close()) })
	at := netip.MustParseAddr(labIP)
	l.self, err = l.lan.Host("self", vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(at, 24)}})
	check(t, err)
	t.Cleanup(func() { check(t, l.self.Close()) })
	port, err := l.lan.Listen(nodeName)
	check(t, err)
	l.machine = lab.NewMachine(l.dir, h, vm.Config{
		Name: nodeName, Memory: 768, Reboots: true,
		NICs: []vm.NIC{{Socket: port.Path(), MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 11}}},
	})
	lab.Step(t, "the provider is made", func() { l.op = newOperator(t, l.dir) })
	l.op.Access.Dial = l.self.DialContext
	lab.Step(t, "release and disks are made", func() { l.disks(t) })
	t.Cleanup(func() { l.end(t) })
	return l
}

func hypervisor(t *testing.T) *vm.Hypervisor {
	t.Helper()
	if !*qemu {
		t.Skip("a machine is booted with -qemu only")
	}
	h, err := vm.Open(t.Context(), vm.Options{})
	check(t, err)
	return h
}

func (l *rig) path(name string) string { return filepath.Join(l.dir, name) }

// built is the release, made once for all tests.
var built = sync.OnceValues(func() (*uki.Build, error) { return lab.Release(context.Background()) })

// release writes the kernel and the initramfs of the release.
func release(t *testing.T, dir string) (build *uki.Build, config vm.Config) {
	t.Helper()
	build, err := built()
	check(t, err)
	config, err = cluster.Unpack(dir, build.UKI)
	check(t, err)
	return build, config
}

// program builds one for a guest.
func program(t *testing.T, path string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append(args[:1:1], append([]string{"-trimpath", "-ldflags=-s -w", "-o", path}, args[1:]...)...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64", "GOOS=linux")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
}

// disks builds the release, with the saboteur behind it, and makes the disks.
func (l *rig) disks(t *testing.T) {
	t.Helper()
	build, config := release(t, l.dir)
	c := &l.machine.Config
	c.Append, c.Kernel, c.Initrd = config.Append, config.Kernel, config.Initrd
	program(t, l.path("saboteur"), "build", "leap.example/tests/faults/guest")
	saboteur, err := os.ReadFile(l.path("saboteur"))
	check(t, err)
	f, err := os.OpenFile(c.Initrd, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = f.Write(vm.Initramfs(saboteur)) // The kernel unpacks one after the other.
	check(t, errors.Join(err, f.Close()))
	const perm = 400 << 20
	check(t, disk.Write(t.Context(), l.path("disk"), disk.Options{UKI: build.UKI, BootLoader: build.BootLoader, Perm: perm}, nil))
	check(t, disk.FlashIdentity(t.Context(), l.path("identity"), l.op.Identity(nodeName)))
	check(t, os.WriteFile(l.path("mailbox"), make([]byte, 1<<20), 0o600))
	c.Drives = []vm.Drive{{Path: l.path("disk"), Volatile: true}, {Path: l.path("identity"), ReadOnly: true}, {Path: l.path("mailbox"), ReadOnly: true}}
}

// order has the saboteur do something, and returns what it says.
func (l *rig) order(t *testing.T, order string) string {
	t.Helper()
	l.orders++
	text := make([]byte, 4096)
	copy(text, fmt.Sprintf("%d %s\n", l.orders, order))
	f, err := os.OpenFile(l.path("mailbox"), os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteAt(text, 0)
	check(t, errors.Join(err, f.Close()))
	begin := fmt.Sprintf("saboteur: %d ", l.orders)
	l.says(t, begin, "\n")
	console, err := os.ReadFile(l.machine.Config.Serial)
	check(t, err)
	_, after, _ := strings.Cut(string(console), begin)
	line, _, ok := strings.Cut(after, " (<nil>)")
	if !ok {
		t.Fatalf("%s: %.100s", order, after)
	}
	return line
}

// says waits until the console shows all texts, in this order.
func (l *rig) says(t *testing.T, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := int64(0)
	for _, text := range texts {
		var err error
		at, err = l.machine.WaitSerial(ctx, at, text)
		check(t, err)
	}
}

// on switches the machine on, with a clock that is off.
func (l *rig) on(t *testing.T, off time.Duration) {
	t.Helper()
	l.machine.Config.Clock = time.Now().Add(off)
	l.machine.On(t)
}

// end switches it off, and leaves what a failed test needs.
func (l *rig) end(t *testing.T) {
	var errs []error
	if t.Failed() {
		dir := filepath.Join(*artefacts, t.Name())
		errs = append(errs, os.RemoveAll(dir), os.MkdirAll(dir, 0o700), l.lan.SavePcap(filepath.Join(dir, "lan.pcap")))
		if l.machine.Machine != nil {
			if err := l.op.SaveLogs(nodeName, filepath.Join(dir, "node.log")); err != nil {
				t.Logf("the node's logs are not to be had: %v", err)
			}
		}
		errs = append(errs, l.machine.SaveConsoles(dir))
		t.Logf("consoles, logs and a capture are in %s", dir)
	}
	if err := errors.Join(append(errs, l.machine.Close())...); err != nil {
		t.Error(err)
	}
}

// status waits until the node's status is as it should be; wrong says what is not.
func (l *rig) status(t *testing.T, wrong func(node.Status) error) node.Status {
	t.Helper()
	return lab.Status(t, nodeName, l.op.Client(nodeName), l.machine.Machine, wrong)
}

// healthy is wrong unless every service is that the node has.
func healthy(s node.Status) error {
	return lab.Healthy(s, slices.DeleteFunc(node.Services(), func(name string) bool { return name == "gateway" }))
}
