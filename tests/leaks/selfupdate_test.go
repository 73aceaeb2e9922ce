package leaks_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/client/update"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
	"leap.example/tests/vendor"
)

// nextVersion is that of the program which takes the place of the first one.
const nextVersion = "1.1.0"

// nextProgram is leapc as a newer version, built once.
var nextProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "leapc-"+nextVersion)
	return path, vendor.Build(context.Background(), nextVersion, path)
})

// An updatable is a prefix of root's on the client, whose vendor is a server in
// the internet, with a systemd that is a script of this test.
type updatable struct {
	w      *world
	prefix update.Prefix
	bin    string
	vendor *vendor.Vendor
}

// updatable installs the first program, and starts its helper.
func (w *world) updatable() *updatable {
	w.Helper()
	var root syscall.Stat_t
	w.must(syscall.Stat("/", &root))
	if root.Uid != 0 {
		w.Skip("LOUD: the unit that updates needs a prefix that is root's alone, and nobody is root here")
	}
	w.must(unix.Mount("update", "/opt", "tmpfs", 0, "mode=755"))
	w.Cleanup(func() { _ = unix.Unmount("/opt", unix.MNT_DETACH) })
	w.must(os.MkdirAll("/run/systemd/system", 0o755))
	w.Cleanup(func() { os.RemoveAll("/run/systemd") })
	v, err := vendor.New(w.Context(), filepath.Join(w.dir, "vendor"))
	w.must(err)
	w.Cleanup(func() { _ = v.Close() })
	u := &updatable{w: w, prefix: "/opt/leap", bin: "/opt/bin", vendor: v}
	u.serve()
	rootFile, err := os.ReadFile(v.Root)
	w.must(err)
	first, err := program()
	w.must(err)
	says := &update.Vendor{Root: rootFile, Sources: []string{"http://" + server4 + ":8080/"}}
	w.must(update.Install(w.Context(), u.prefix, first, "1.0.0", says))
	w.must(os.Mkdir(u.bin, 0o755))
	script := fmt.Sprintf(`#!/bin/sh
case "$1" in
show) echo active ;;
restart)
	read pid < %[1]s/pid && kill $pid
	while kill -0 $pid 2>/dev/null; do sleep 0.02; done
	%[2]s vpn-helper run --socket %[3]s --state /opt/state --uid %[4]d >> %[1]s/log 2>&1 &
	echo $! > %[1]s/pid ;;
esac
`, u.bin, u.prefix.Start(), socket, user)
	w.must(os.WriteFile(filepath.Join(u.bin, "systemctl"), []byte(script), 0o755))
	w.must(os.WriteFile(filepath.Join(u.bin, "pid"), []byte("999999999\n"), 0o644))
	w.Cleanup(u.end)
	p := w.start(w.client, u.command(filepath.Join(u.bin, "systemctl"), "restart"))
	p.dead = true
	w.must(p.Wait())
	w.ask = helper.NewClient(socket)
	w.until("the helper answers", func() bool {
		_, err := w.ask.Version(w.Context())
		return err == nil
	})
	return u
}

// serve has the vendor's tree at the server, which is reached by the tunnel.
func (u *updatable) serve() {
	w := u.w
	var ln net.Listener
	w.server.Do(w.T, func() (err error) {
		ln, err = net.Listen("tcp", server4+":8080")
		return err
	})
	hs := &http.Server{Handler: u.vendor.Handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = hs.Serve(ln) }()
	w.Cleanup(func() { _ = hs.Close(); <-done })
}

func (u *updatable) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=" + u.bin + ":/usr/bin:/bin"}
	return cmd
}

// end ends the helper that the script has started last.
func (u *updatable) end() {
	text, err := os.ReadFile(filepath.Join(u.bin, "pid"))
	var pid int
	if _, failed := fmt.Sscan(string(text), &pid); err == nil && failed == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		u.w.until("the helper is gone", func() bool { return zombie(pid) })
	}
	if u.w.Failed() {
		log, _ := os.ReadFile(filepath.Join(u.bin, "log"))
		u.w.Logf("the helpers said:\n%s", log)
	}
}

// zombie reports whether a process has ended, whoever is to take note of it.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var name string
	var state byte
	_, failed := fmt.Sscanf(string(text), "%d %s %c", &pid, &name, &state)
	return err != nil || failed == nil && state == 'Z'
}

// update runs the unit to its end, as systemd does.
func (u *updatable) update() {
	u.w.Helper()
	p := u.w.start(u.w.client, u.command(u.prefix.Start(), "update-unit"))
	p.dead = true
	if err := p.Wait(); err != nil {
		text, _ := os.ReadFile(p.log)
		u.w.Fatalf("the unit: %v\n%s", err, text)
	}
}

// selfUpdate: the client's program is replaced by a newer one that comes through
// the tunnel, and the helper starts again with it.
func selfUpdate(w *world) {
	u := w.updatable()
	one := w.policy(w.gateways[0])
	w.connect(one)
	next, err := nextProgram()
	w.must(err)
	w.must(u.vendor.Release(w.Context(), nextVersion, next))
	w.step("a newer program is fetched and takes the helper's place", func() {
		u.update()
		w.disarm(policy.Policy{})
		w.pause(300 * time.Millisecond)
	})
	if v, err := u.prefix.Current(); err != nil || v != nextVersion {
		w.Errorf("%s is current, %v", v, err)
	}
	if got, err := w.ask.Program(w.Context()); err != nil || got.Version != nextVersion {
		w.Errorf("the helper is %+v, %v", got, err)
	}
	w.step("the tunnel comes up with it", func() { w.connect(one) })
	w.step("the unit finds nothing new", u.update)
}
