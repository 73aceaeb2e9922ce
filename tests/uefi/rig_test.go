package uefi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
	"leap.example/tests/lab"
)

// A rig is a LAN with this process and one machine on it, which is started by
// its firmware from a disk as "leap flash" writes it.
type rig struct {
	dir     string
	op      *operator
	lan     *vnet.LAN
	machine *lab.Machine
	seen    int64 // Of the console.
}

// newRig makes the LAN, and a machine without a disk.
func newRig(t *testing.T) *rig {
	t.Helper()
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	l := &rig{dir: t.TempDir(), op: newOperator(t)}
	h, err := vm.Open(t.Context(), vm.Options{})
	check(t, err)
	l.lan, err = vnet.New(vnet.Config{})
	check(t, err)
	t.Cleanup(func() { check(t, l.lan.Close()) })
	self, err := l.lan.Host("self", vnet.HostConfig{Addrs: []netip.Prefix{netip.MustParsePrefix(labIP + "/24")}})
	check(t, err)
	t.Cleanup(func() { check(t, self.Close()) })
	l.op.access.Dial = self.DialContext
	port, err := l.lan.Listen(nodeName)
	check(t, err)
	check(t, disk.FlashIdentity(t.Context(), l.path("identity"), l.op.identity(t)))
	l.machine = lab.NewMachine(l.dir, h, vm.Config{
		Name: nodeName, Memory: 512, Reboots: true, UEFI: &vm.UEFI{Vars: l.path("vars")},
		NICs: []vm.NIC{{Socket: port.Path(), MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 11}}},
	})
	t.Cleanup(func() { l.end(t) })
	return l
}

func (l *rig) path(name string) string { return filepath.Join(l.dir, name) }

// flash writes the machine's disk: an image, onto a larger disk.
func (l *rig) flash(t *testing.T, b *uki.Build) {
	t.Helper()
	const perm, larger = 256 << 20, 100 << 20
	image, target := l.path("image"), l.path("disk")
	check(t, disk.Write(t.Context(), image, disk.Options{UKI: b.UKI, BootLoader: b.BootLoader, Perm: perm}, nil))
	info, err := os.Stat(image)
	check(t, err)
	check(t, os.WriteFile(target, nil, 0o600))
	check(t, os.Truncate(target, info.Size()+larger))
	check(t, disk.Flash(t.Context(), target, image, nil))
	check(t, os.Remove(image))
	l.machine.Config.Drives = []vm.Drive{{Path: target, Volatile: true}, {Path: l.path("identity"), ReadOnly: true}}
}

// on switches the machine on.
func (l *rig) on(t *testing.T) {
	t.Helper()
	l.seen = 0
	l.machine.On(t)
}

// says waits until the console shows all texts, in this order, after what was
// waited for before.
func (l *rig) says(t *testing.T, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, text := range texts {
		at, err := l.machine.WaitSerial(ctx, l.seen, text)
		check(t, err)
		l.seen = at
	}
}

// end switches the machine off, and leaves what a failed test needs.
func (l *rig) end(t *testing.T) {
	var errs []error
	if t.Failed() {
		dir := filepath.Join(*artefacts, t.Name())
		errs = append(errs, os.RemoveAll(dir), os.MkdirAll(dir, 0o700))
		if l.machine.Machine != nil {
			errs = append(errs, l.machine.Save(dir))
		}
		errs = append(errs, l.machine.SaveConsoles(dir))
		t.Logf("consoles are in %s", dir)
	}
	if err := errors.Join(append(errs, l.machine.Close())...); err != nil {
		t.Error(err)
	}
}

// step does a step, and tells how long it took, and how much of that the
// machine ran: on a busy machine that says more.
func (l *rig) step(t *testing.T, what string, do func()) {
	t.Helper()
	begin, ran := time.Now(), l.ran()
	do()
	now := l.ran()
	if now < ran { // It is another process.
		ran = 0
	}
	t.Logf("%6.1f s (machine %4.1f s)  %s", time.Since(begin).Seconds(), (now - ran).Seconds(), what)
}

// ran is how much time of processors the machine has used. 0: it is off.
func (l *rig) ran() time.Duration {
	if l.machine.Machine == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.machine.PID()))
	if err != nil {
		return 0
	}
	var user, system int64
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc_pid_stat(5), from the third field on.
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		return 0
	}
	const tick = time.Second / 100
	return time.Duration(user+system) * tick
}

// status waits until the node's status is as it should be; wrong says what is not.
func (l *rig) status(t *testing.T, wrong func(node.Status) error) node.Status {
	t.Helper()
	return lab.Status(t, nodeName, l.op.client(), l.machine.Machine, wrong)
}
