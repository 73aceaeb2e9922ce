package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"leap.example/appliance/efi"
	appliance "leap.example/appliance/node"
	"leap.example/image/disk"
	"leap.example/image/uki"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

// A lab is a LAN with this process and one machine on it.
type lab struct {
	dir        string
	op         *operator
	hypervisor *vm.Hypervisor
	lan        *vnet.LAN
	self       *vnet.Host
	config     vm.Config
	machine    *vm.Machine
	starts     int
}

// newLab makes the LAN, and the disks of a machine that was never on.
func newLab(t *testing.T) *lab {
	t.Helper()
	if !*qemu {
		t.Skip("a machine is booted with -qemu only")
	}
	l := &lab{dir: t.TempDir()}
	var err error
	if l.hypervisor, err = vm.Open(t.Context(), vm.Options{}); errors.Is(err, vm.ErrMissing) {
		t.Skip(err)
	}
	check(t, err)
	l.lan, err = vnet.New(vnet.Config{CaptureBytes: 32 << 20})
	check(t, err)
	t.Cleanup(func() { check(t, l.lan.Close()) })
	at := netip.MustParseAddr(labIP)
	l.self, err = l.lan.Host("self", vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(at, 24)}, DNS: netip.AddrPortFrom(at, 53)})
	check(t, err)
	t.Cleanup(func() { check(t, l.self.Close()) })
	_, err = l.self.ServeDNS(at, vnet.Names{Zones: map[string][]netip.Addr{domain: {netip.MustParseAddr(nodeIP)}}})
	check(t, err)
	_, err = l.self.ServeNTP(at)
	check(t, err)
	port, err := l.lan.Listen(nodeName)
	check(t, err)
	l.config = vm.Config{
		Name: nodeName, Memory: 768, Reboots: true,
		NICs: []vm.NIC{{Socket: port.Path(), MAC: net.HardwareAddr{0x52, 0x54, 0, 0x77, 0, 11}}},
	}
	step(t, "the provider is made", func() { l.op = newOperator(t, l.dir) })
	l.op.access.Dial = l.self.DialContext
	step(t, "release and disks are made", func() { l.disks(t) })
	t.Cleanup(func() { l.end(t) })
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// disks builds the release, and makes the disk of the node and that of its
// identity.
func (l *lab) disks(t *testing.T) {
	t.Helper()
	build, err := uki.Make(t.Context(), uki.Options{
		Release: efi.Release{
			Version: "0.0.1", OldestSchema: appliance.OldestSchema, NewestSchema: appliance.Schema, LeastRAM: 256,
			Built: time.Now().UTC().Truncate(24 * time.Hour),
		},
		Source: "../..", Services: slices.Concat([]string{"agent"}, appliance.Services()),
	})
	check(t, err)
	release, err := efi.OpenUKI(bytes.NewReader(build.UKI), int64(len(build.UKI)))
	check(t, err)
	l.config.Append = release.Cmdline
	for section, path := range map[string]*string{efi.SectionKernel: &l.config.Kernel, efi.SectionInitrd: &l.config.Initrd} {
		from, err := release.Section(section)
		check(t, err)
		content, err := io.ReadAll(from)
		check(t, err)
		*path = l.path(section)
		check(t, os.WriteFile(*path, content, 0o600))
	}
	check(t, disk.Write(t.Context(), l.path("disk"), disk.Options{UKI: build.UKI, BootLoader: build.BootLoader}, nil))
	check(t, disk.FlashIdentity(t.Context(), l.path("identity"), l.op.identity(t)))
	l.config.Drives = []vm.Drive{{Path: l.path("disk"), Volatile: true}, {Path: l.path("identity"), ReadOnly: true}}
}

// on switches the machine on.
func (l *lab) on(t *testing.T) {
	t.Helper()
	l.starts++
	l.config.Serial = l.path(fmt.Sprintf("%s-%d.serial", nodeName, l.starts))
	m, err := l.hypervisor.Start(t.Context(), l.config)
	check(t, err)
	l.machine = m
}

// end switches it off, and leaves what a failed test needs.
func (l *lab) end(t *testing.T) {
	var errs []error
	if t.Failed() {
		dir := filepath.Join(*artefacts, t.Name())
		errs = append(errs, os.RemoveAll(dir), os.MkdirAll(dir, 0o700), l.lan.SavePcap(filepath.Join(dir, "lan.pcap")))
		if l.machine != nil {
			errs = append(errs, l.machine.Save(dir))
			if err := l.saveLogs(t, filepath.Join(dir, "node.log")); err != nil {
				t.Logf("the node's logs are not to be had: %v", err)
			}
		}
		for k := range l.starts {
			name := fmt.Sprintf("%s-%d.serial", nodeName, k+1)
			text, err := os.ReadFile(l.path(name))
			errs = append(errs, err, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		t.Logf("consoles, logs and a capture are in %s", dir)
	}
	if l.machine != nil {
		errs = append(errs, l.machine.Close())
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// saveLogs asks the agent for what all services wrote.
func (l *lab) saveLogs(t *testing.T, path string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	var text bytes.Buffer
	err := l.op.client(t).Logs(ctx, "", 5000, false, func(line appliance.LogLine) error {
		_, err := fmt.Fprintf(&text, "%s %s: %s\n", line.Time.Format(time.RFC3339Nano), line.Service, line.Text)
		return err
	})
	return errors.Join(err, os.WriteFile(path, text.Bytes(), 0o600))
}

// step does a step, and tells how long it took.
func step(t *testing.T, what string, do func()) {
	t.Helper()
	begin := time.Now()
	do()
	t.Logf("%6.1f s  %s", time.Since(begin).Seconds(), what)
}

// status waits until the node's status is as it should be; wrong says what is not.
func (l *lab) status(t *testing.T, wrong func(appliance.Status) error) appliance.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := l.op.client(t)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		if err == nil {
			err = wrong(s)
		}
		if err == nil {
			return s
		}
		select {
		case <-ctx.Done():
			t.Fatalf("in %v: %v", patience, err)
		case <-l.machine.Done():
			t.Fatal("the machine has ended")
		case <-tick.C:
		}
	}
}

// healthy is wrong unless every service is.
func healthy(s appliance.Status) error {
	var errs []error
	for _, name := range appliance.Services() {
		if one, ok := s.Services[name]; !ok || !one.Healthy {
			errs = append(errs, fmt.Errorf("%s: %+v", name, one))
		}
	}
	return errors.Join(errs...)
}

// restarted is wrong unless the machine has started anew since, and is healthy.
func restarted(before, now appliance.Status) error {
	if now.Booted.Equal(before.Booted) {
		return errors.New("it has not started anew")
	}
	return healthy(now)
}

// same fails if a service is another process than before, but for some.
func (l *lab) same(t *testing.T, before appliance.Status, except ...string) {
	t.Helper()
	now := l.status(t, healthy)
	for name, was := range before.Services {
		if is := now.Services[name]; is.PID != was.PID && !slices.Contains(except, name) {
			t.Errorf("%s was %+v, and is %+v", name, was, is)
		}
	}
	if now.Current != before.Current {
		t.Errorf("the generation was %+v, and is %+v", before.Current, now.Current)
	}
}
