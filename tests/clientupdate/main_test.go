package clientupdate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/tests/vendor"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // A prefix does not lie where a group can write.
	dir, err := os.MkdirTemp("", "update")
	if err != nil {
		fmt.Fprintln(os.Stderr, "update:", err)
		os.Exit(1)
	}
	programs = dir
	code := nettest.Main(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// programs is the directory of what is built.
var programs string

// built builds a version of leapc, once.
var built = func() func(t *testing.T, version string) string {
	var mu sync.Mutex
	return func(t *testing.T, version string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		path := filepath.Join(programs, "leapc-"+version)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		must(t, vendor.Build(t.Context(), version, path))
		return path
	}
}()

// broken is a program that says of itself what it should, and does not serve.
func broken(t *testing.T, version, serves string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leapc")
	text := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = update ]; then\n  echo '{\"schema\":1,\"version\":%q,\"os\":\"linux\",\"arch\":\"%s\"}'\n  exit 0\nfi\n%s\n",
		version, arch(t), serves)
	must(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

// arch is that of programs that are built here.
func arch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOARCH").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A client is a user's, in a prefix of his own, with a vendor.
type client struct {
	t      *testing.T
	vendor *vendor.Vendor
	prefix update.Prefix
	home   string
	daemon *exec.Cmd
}

// newVendor makes one for a test.
func newVendor(t *testing.T) *vendor.Vendor {
	t.Helper()
	v, err := vendor.New(t.Context(), filepath.Join(t.TempDir(), "vendor"))
	must(t, err)
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// newClient has 1.0.0 installed, and its daemon running with a flag of its own.
func newClient(t *testing.T) *client {
	t.Helper()
	c := &client{t: t, vendor: newVendor(t), prefix: update.Prefix(filepath.Join(t.TempDir(), "leap"))}
	var err error
	c.home, err = os.MkdirTemp("", "leapc") // A socket's path is short.
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(c.home) })
	_, err = c.run(built(t, "1.0.0"), "update", "install", string(c.prefix), "--root", c.vendor.Root, "--source", c.vendor.Source)
	must(t, err)
	c.start()
	return c
}

// start starts the daemon that is current. It ends with the test, as does one that
// an update has started instead.
func (c *client) start() {
	c.t.Helper()
	c.daemon = exec.Command(c.prefix.Start(), "--home", c.home, "daemon", "--encrypted-only")
	c.daemon.Env = []string{"HOME=" + c.home}
	c.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(c.t, c.daemon.Start())
	daemon, ended := c.daemon, make(chan struct{})
	go func() { defer close(ended); _ = daemon.Wait() }()
	c.t.Cleanup(func() {
		if s, err := c.status(); err == nil {
			_ = syscall.Kill(s.PID, syscall.SIGTERM)
		}
		_ = daemon.Process.Kill()
		<-ended
		c.gone()
	})
	c.answers("1.0.0")
}

// gone waits until no daemon answers.
func (c *client) gone() {
	nettest.Until(c.t, "the daemon is gone", func() bool {
		_, err := c.status()
		return err != nil
	})
}

func (c *client) status() (control.UpdateStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	d := control.Dial(filepath.Join(c.home, "leapc.sock"))
	defer d.Close()
	return d.UpdateStatus(ctx)
}

// answers waits until the daemon is a version, with its flags.
func (c *client) answers(version string) {
	c.t.Helper()
	nettest.Until(c.t, "the daemon is "+version, func() bool {
		s, err := c.status()
		return err == nil && s.Version == version && strings.Contains(strings.Join(s.Arguments, " "), "--encrypted-only")
	})
}

// command is one of a program's.
func (c *client) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.t.Context(), program, append([]string{"--home", c.home, "--json"}, args...)...)
	cmd.Env = []string{"HOME=" + c.home}
	return cmd
}

// run runs one to its end.
func (c *client) run(program string, args ...string) ([]byte, error) {
	out, err := c.command(program, args...).Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(e.Stderr)))
	}
	return out, err
}

// apply updates with the program that is current.
func (c *client) apply() error {
	_, err := c.run(c.prefix.Start(), "update", "apply")
	return err
}

// state is what "update status" says.
func (c *client) state() (s struct {
	Version, Current string
	Bad              []update.Bad
	Trial            *update.Trial
},
) {
	c.t.Helper()
	out, err := c.run(c.prefix.Start(), "update", "status")
	must(c.t, err)
	must(c.t, json.Unmarshal(out, &s))
	return s
}
