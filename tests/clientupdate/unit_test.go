package clientupdate_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/update"
	"leap.example/client/update/oneshot"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
	"leap.example/tests/vendor"
)

// A computer has a client that belongs to root, the VPN's helper, and a systemd
// that is a script of this test: it restarts the helper.
type computer struct {
	t      *testing.T
	vendor *vendor.Vendor
	prefix update.Prefix
	bin    string // Directory of the script, and of what it keeps.
}

// newComputer has 1.0.0 installed as root, and its helper running, in a network
// and with directories of its own.
func newComputer(t *testing.T) *computer {
	t.Helper()
	nettest.Need(t)
	var top syscall.Stat_t
	must(t, syscall.Stat("/", &top))
	if top.Uid != 0 {
		t.Skip("LOUD: the unit needs a prefix that is root's alone, and nobody is root here")
	}
	// Where only root can write, all the way up.
	must(t, unix.Mount("update", "/opt", "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { _ = unix.Unmount("/opt", unix.MNT_DETACH) })
	must(t, os.MkdirAll("/run/systemd/system", 0o755))
	t.Cleanup(func() { os.RemoveAll("/run/systemd") })
	c := &computer{t: t, vendor: newVendor(t), prefix: "/opt/leap", bin: "/opt/bin"}
	root, err := os.ReadFile(c.vendor.Root)
	must(t, err)
	v := &update.Vendor{Schema: 1, Root: root, Sources: []string{c.vendor.Source}}
	must(t, update.Install(t.Context(), c.prefix, built(t, "1.0.0"), "1.0.0", v))
	must(t, os.Mkdir(c.bin, 0o755))
	script := fmt.Sprintf(`#!/bin/sh
case "$1" in
show) echo active ;;
restart)
	read pid < %[1]s/pid && kill $pid
	while kill -0 $pid 2>/dev/null; do sleep 0.02; done
	%[2]s vpn-helper run --state /opt/state >> %[1]s/log 2>&1 &
	echo $! > %[1]s/pid ;;
esac
`, c.bin, c.prefix.Start())
	must(t, os.WriteFile(filepath.Join(c.bin, "systemctl"), []byte(script), 0o755))
	must(t, os.WriteFile(filepath.Join(c.bin, "pid"), []byte("999999999\n"), 0o644))
	must(t, c.command("systemctl", "restart", helper.Service).Run())
	t.Cleanup(func() {
		text, err := os.ReadFile(filepath.Join(c.bin, "pid"))
		var pid int
		if _, failed := fmt.Sscan(string(text), &pid); err == nil && failed == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	c.helps("1.0.0")
	return c
}

// command is one with the script in the place of systemctl.
func (c *computer) command(name string, args ...string) *exec.Cmd {
	if name == "systemctl" {
		name = filepath.Join(c.bin, name)
	}
	cmd := exec.CommandContext(c.t.Context(), name, args...)
	cmd.Env = []string{"PATH=" + c.bin + ":/usr/bin:/bin"}
	return cmd
}

// unit runs the unit as systemd does, with nobody asking.
func (c *computer) unit() (string, error) {
	out, err := c.command(c.prefix.Start(), "update-unit").CombinedOutput()
	return string(out), err
}

// helps waits until the helper is a version.
func (c *computer) helps(version string) {
	c.t.Helper()
	nettest.Until(c.t, "the helper is "+version, func() bool {
		p, err := helper.NewClient(helper.Socket).Program(c.t.Context())
		return err == nil && p.Version == version
	})
}

func (c *computer) current(version string) {
	c.t.Helper()
	if v, err := c.prefix.Current(); err != nil || v != version {
		c.t.Errorf("%s is current, %v; want %s", v, err, version)
	}
}

// TestUnit: the unit looks, installs, restarts the helper and ends. All the while
// the table of the kill switch is there.
func TestUnit(t *testing.T) {
	c := newComputer(t)
	must(t, helper.NewClient(helper.Socket).Apply(t.Context(), policy.Policy{
		Reach: []netip.AddrPort{netip.MustParseAddrPort(strings.TrimSuffix(strings.TrimPrefix(c.vendor.Source, "http://"), "/"))},
	}))
	if !blocks() {
		t.Fatal("nothing is blocked")
	}
	if out, err := c.unit(); err != nil {
		t.Fatalf("with nothing new: %v: %s", err, out)
	}
	c.current("1.0.0")
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	stop, gone := make(chan struct{}), make(chan int, 1)
	go func() {
		missing := 0
		defer func() { gone <- missing }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				if !blocks() {
					missing++
				}
			}
		}
	}()
	begun := time.Now()
	out, err := c.unit()
	t.Logf("the unit took %v", time.Since(begun).Round(time.Millisecond))
	close(stop)
	if n := <-gone; n > 0 {
		t.Errorf("the table was missing %d times", n)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.current("1.2.0")
	c.helps("1.2.0")
	for _, path := range []string{c.prefix.Program("1.2.0"), filepath.Join(c.prefix.Dir(), "state.json"), c.prefix.Dir()} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o022 != 0 || info.Mode().Perm()&0o004 == 0 || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

// TestUnitGoesBack: a version whose helper does not start is given up, and the old
// helper is back.
func TestUnitGoesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute: not in -short")
	}
	c := newComputer(t)
	must(t, c.vendor.Release(t.Context(), "1.1.0", broken(t, "1.1.0", "exit 1")))
	begun := time.Now()
	out, err := c.unit()
	if err == nil || !strings.Contains(out, "1.0.0 is back") {
		t.Fatalf("%v: %s", err, out)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	c.current("1.0.0")
	c.helps("1.0.0")
	if out, err := c.unit(); err != nil { // It is as it should be.
		t.Errorf("again: %v: %s", err, out)
	}
	c.current("1.0.0")
}

// TestUnitAsked: who connects is told how it goes, and nothing that he sends is
// heard.
func TestUnitAsked(t *testing.T) {
	c := newComputer(t)
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	socket := "/opt/asked.sock"
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	f, err := ln.File()
	must(t, err)
	must(t, ln.Close())
	defer func() { f.Close() }()
	// The one who sends, and who never reads.
	loud, err := net.Dial("unix", socket)
	if err != nil { // Closing a listener removes its file.
		ln, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
		must(t, err)
		ln.SetUnlinkOnClose(false)
		f, err = ln.File()
		must(t, err)
		loud, err = net.Dial("unix", socket)
		must(t, err)
	}
	defer loud.Close()
	_, err = loud.Write([]byte(`{"now":true,"prefix":"/tmp","root":"mine"}` + "\n"))
	must(t, err)
	cmd := c.command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec `+c.prefix.Start()+` update-unit`)
	cmd.ExtraFiles = []*os.File{f}
	asked := make(chan error, 1)
	var seen int64
	var last oneshot.Line
	go func() {
		var err error
		last, err = oneshot.Ask(t.Context(), socket, func(l oneshot.Line) { seen = max(seen, l.Done) })
		asked <- err
	}()
	nettest.Until(t, "somebody has asked", func() bool { return waiting(socket) > 1 })
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := <-asked; err != nil || last.Version != "1.2.0" || last.Problem != "" || seen < 1<<20 {
		t.Errorf("%+v after %d bytes, %v", last, seen, err)
	}
	c.current("1.2.0")
	// Who asks at once again is told to wait, and that nothing is wrong.
	must(t, c.vendor.Release(t.Context(), "1.3.0", built(t, "1.3.0")))
	go func() {
		var err error
		last, err = oneshot.Ask(t.Context(), socket, func(oneshot.Line) {})
		asked <- err
	}()
	nettest.Until(t, "somebody asks again", func() bool { return waiting(socket) > 0 })
	again := c.command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec `+c.prefix.Start()+` update-unit`)
	again.ExtraFiles = []*os.File{f}
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("again: %v: %s", err, out)
	}
	if err := <-asked; err != nil || !last.Well || !strings.Contains(last.Problem, update.ErrSoon.Error()) {
		t.Errorf("again: %+v, %v", last, err)
	}
	c.current("1.2.0")
}

// TestUnitTrusts: the unit does not run from where others can write, and takes no
// vendor but that of its prefix.
func TestUnitTrusts(t *testing.T) {
	c := newComputer(t)
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	must(t, os.Chmod(string(c.prefix), 0o777))
	if out, err := c.unit(); err == nil || !strings.Contains(out, "users other than root can write") {
		t.Errorf("%v: %s", err, out)
	}
	must(t, os.Chmod(string(c.prefix), 0o755))
	c.current("1.0.0")
	other := newVendor(t)
	must(t, other.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	root, err := os.ReadFile(other.Root)
	must(t, err)
	text, err := update.Vendor{Root: root, Sources: []string{c.vendor.Source}}.Encode()
	must(t, err)
	// The keys of one vendor, the server of another.
	must(t, os.WriteFile(filepath.Join(string(c.prefix), "vendor.json"), text, 0o644))
	if out, err := c.unit(); err == nil || !strings.Contains(out, "too few valid signatures") {
		t.Errorf("%v: %s", err, out)
	}
	c.current("1.0.0")
	must(t, os.Chown(string(c.prefix), aUser, aUser))
	if out, err := c.unit(); err == nil {
		t.Errorf("a prefix of another user: %s", out)
	}
	c.current("1.0.0")
}
