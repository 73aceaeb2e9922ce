package clientupdate_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/update"
	"leap.example/client/update/oneshot"
)

// aUser is somebody who is not root.
const aUser = 4242

// asUser makes a command a user's.
func asUser(cmd *exec.Cmd, home string) *exec.Cmd {
	cmd.Env = []string{"HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aUser, Gid: aUser}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// TestUserAsks: a user whose program belongs to root says "update apply": the unit
// installs, and then his daemon runs the new version, in the same process.
func TestUserAsks(t *testing.T) {
	c := newComputer(t)
	home := "/opt/home"
	must(t, os.Mkdir(home, 0o700))
	must(t, os.Chown(home, aUser, aUser))
	daemon := asUser(exec.CommandContext(t.Context(), c.prefix.Start(), "--home", home, "daemon"), home)
	must(t, daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	leapc := func(args ...string) ([]byte, error) {
		return asUser(exec.CommandContext(t.Context(), c.prefix.Start(), append([]string{"--home", home, "--json"}, args...)...), home).Output()
	}
	nettest.Until(t, "the daemon answers", func() bool {
		_, err := leapc("status")
		e, ok := err.(*exec.ExitError)
		return err == nil || ok && e.ExitCode() == 3 // It needs a login.
	})
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	out, err := leapc("update", "check")
	if err != nil || !strings.Contains(string(out), `"version": "1.2.0"`) || strings.Contains(string(out), `"mine": true`) {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := leapc("update", "apply"); err == nil {
		t.Fatalf("with nobody to ask: %s", out)
	}
	c.current("1.0.0")
	// systemd listens, and starts the unit when somebody connects.
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: oneshot.Socket, Net: "unix"})
	must(t, err)
	ln.SetUnlinkOnClose(false)
	must(t, os.Chmod(oneshot.Socket, 0o666))
	f, err := ln.File()
	must(t, err)
	must(t, ln.Close())
	defer f.Close()
	defer os.Remove(oneshot.Socket)
	unit := make(chan string, 1)
	go func() {
		for waiting(oneshot.Socket) < 1 && t.Context().Err() == nil {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 100)
		}
		cmd := c.command("/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec `+c.prefix.Start()+` update-unit`)
		cmd.ExtraFiles = []*os.File{f}
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = append(out, err.Error()...)
		}
		unit <- string(out)
	}()
	out, err = leapc("update", "apply")
	said := <-unit
	var got struct {
		Version, Daemon string
		Installed       bool
	}
	if err != nil || json.Unmarshal(out, &got) != nil || got.Version != "1.2.0" || got.Daemon != "1.2.0" || !got.Installed {
		t.Errorf("%v: %s; the unit: %s", err, out, said)
	}
	if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", daemon.Process.Pid)); err != nil || program != c.prefix.Program("1.2.0") {
		t.Errorf("the daemon is %s, %v", program, err)
	}
	c.helps("1.2.0")
	c.current("1.2.0")
}

// TestUnitWithoutRights: the unit needs no capability of root's.
func TestUnitWithoutRights(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("LOUD: setpriv is not there: whether the unit does without capabilities was not tried")
	}
	c := newComputer(t)
	must(t, os.RemoveAll("/run/systemd")) // The helper is not its business then.
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	out, err := c.command(setpriv, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", c.prefix.Start(), "update-unit").CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	c.current("1.2.0")
}

// TestFullDisk: a disk without room for a program leaves all as it is, and says so;
// with room the update goes on where it was.
func TestFullDisk(t *testing.T) {
	c := newComputer(t)
	at := "/opt/small"
	must(t, os.Mkdir(at, 0o755))
	must(t, unix.Mount("small", at, "tmpfs", 0, "mode=755,size=80m"))
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	root, err := os.ReadFile(c.vendor.Root)
	must(t, err)
	c.prefix = update.Prefix(filepath.Join(at, "leap"))
	must(t, update.Install(t.Context(), c.prefix, built(t, "1.0.0"), "1.0.0", &update.Vendor{Root: root, Sources: []string{c.vendor.Source}}))
	must(t, c.vendor.Release(t.Context(), "1.2.0", built(t, "1.2.0")))
	if out, err := c.unit(); err == nil || !strings.Contains(out, "the disk is full") {
		t.Fatalf("%v: %s", err, out)
	}
	c.current("1.0.0")
	must(t, unix.Mount("small", at, "tmpfs", unix.MS_REMOUNT, "mode=755,size=200m"))
	if out, err := c.unit(); err != nil {
		t.Fatalf("with room: %v: %s", err, out)
	}
	c.current("1.2.0")
}
