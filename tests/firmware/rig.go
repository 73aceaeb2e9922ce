// Package firmware has one node that is started as real machines are: by firmware,
// boot loader and disk, on a LAN with the process of the test.
package firmware

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

// A Rig is a LAN with this process and one machine on it, which is started by
// its firmware from a disk as "leap flash" writes it.
type Rig struct {
	Operator *Operator
	Self     *vnet.Host // This process.
	Machine  *lab.Machine

	dir  string
	lan  *vnet.LAN
	seen int64 // Of the console.
}

// patience is for one step on a machine that is busy and has no KVM.
const patience = 5 * time.Minute

// New makes the LAN, and a machine without a disk. It skips the test unless machines
// are to be booted.
func New(t *testing.T) *Rig {
	t.Helper()
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	l := &Rig{dir: t.TempDir(), Operator: newOperator(t)}
	h, err := vm.Open(t.Context(), vm.Options{})
	check(t, err)
	l.lan, err = vnet.New(vnet.Config{})
	check(t, err)
	t.Cleanup(func() { check(t, l.lan.Close()) })
	l.Self, err = l.lan.Host("self", vnet.HostConfig{Addrs: []netip.Prefix{netip.MustParsePrefix(LabIP + "/24")}})
	check(t, err)
	t.Cleanup(func() { check(t, l.Self.Close()) })
	l.Operator.Access.Dial = l.Self.DialContext
	port, err := l.lan.Listen(NodeName)
	check(t, err)
	check(t, disk.FlashIdentity(t.Context(), l.Path("identity"), l.Operator.identity(t)))
	l.Machine = lab.NewMachine(l.dir, h, vm.Config{
		Name: NodeName, Memory: 512, Reboots: true, UEFI: &vm.UEFI{Vars: l.Path("vars")},
		NICs: []vm.NIC{{Socket: port.Path(), MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 11}}},
	})
	t.Cleanup(func() { l.end(t) })
	return l
}

// Path is that of a file beside those of the machine.
func (l *Rig) Path(name string) string { return filepath.Join(l.dir, name) }

// Flash writes the machine's disk: an image, onto a larger disk.
func (l *Rig) Flash(t *testing.T, b *uki.Build) {
	t.Helper()
	const perm, larger = 256 << 20, 100 << 20
	image, target := l.Path("image"), l.Path("disk")
	check(t, disk.Write(t.Context(), image, disk.Options{UKI: b.UKI, BootLoader: b.BootLoader, Perm: perm}, nil))
	info, err := os.Stat(image)
	check(t, err)
	check(t, os.WriteFile(target, nil, 0o600))
	check(t, os.Truncate(target, info.Size()+larger))
	check(t, disk.Flash(t.Context(), target, image, nil))
	check(t, os.Remove(image))
	l.Machine.Config.Drives = []vm.Drive{{Path: target, Volatile: true}, {Path: l.Path("identity"), ReadOnly: true}}
}

// On switches the machine on.
func (l *Rig) On(t *testing.T) {
	t.Helper()
	l.seen = 0
	l.Machine.On(t)
}

// Says waits until the console shows all texts, in this order, after what was
// waited for before.
func (l *Rig) Says(t *testing.T, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, text := range texts {
		at, err := l.Machine.WaitSerial(ctx, l.seen, text)
		check(t, err)
		l.seen = at
	}
}

// end switches the machine off, and leaves what a failed test needs.
func (l *Rig) end(t *testing.T) {
	var errs []error
	if t.Failed() {
		dir := filepath.Join(*artefacts, t.Name())
		errs = append(errs, os.RemoveAll(dir), os.MkdirAll(dir, 0o700))
		if l.Machine.Machine != nil {
			errs = append(errs, l.Machine.Save(dir))
		}
		errs = append(errs, l.Machine.SaveConsoles(dir))
		t.Logf("consoles are in %s", dir)
	}
	if err := errors.Join(append(errs, l.Machine.Close())...); err != nil {
		t.Error(err)
	}
}

// Step does a step, and tells how long it took, and how much of that the
// machine ran: on a busy machine that says more.
func (l *Rig) Step(t *testing.T, what string, do func()) {
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
func (l *Rig) ran() time.Duration {
	if l.Machine.Machine == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.Machine.PID()))
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

// Runs is wrong, for [Rig.Status], unless a release is good, and the service healthy
// if the node has been given one.
func Runs(version string) func(node.Status) error {
	return func(s node.Status) error {
		switch {
		case s.Release != version || s.Image.State != node.StateGood || len(s.Image.Kept) == 0:
			return fmt.Errorf("it runs %s: %+v, %+v", s.Release, s.Image, s.Update)
		case s.Current.Number > 0 && !s.Services["dns"].Healthy:
			return fmt.Errorf("its service: %+v, %+v", s.Current, s.Services["dns"])
		}
		return nil
	}
}

// Status waits until the node's status is as it should be; wrong says what is not.
func (l *Rig) Status(t *testing.T, wrong func(node.Status) error) node.Status {
	t.Helper()
	return lab.Status(t, NodeName, l.Operator.Client(), l.Machine.Machine, wrong)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
