// Package local types what docs/operator.md tells a new operator: a provider, a
// node on this machine, its checks, an invitation, and a disk that a machine with
// UEFI firmware starts from. It runs the command itself, with -qemu.
package local

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/qemu/local"
	"leap.example/qemu/vm"
)

var (
	qemu      = flag.Bool("qemu", false, "boot a machine")
	artefacts = flag.String("artefacts", filepath.Join(os.TempDir(), "leap-qemu"), "where a test that fails leaves the console and the log")
)

// patience is for one command on a machine that is busy and has no KVM.
const patience = 8 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An operator types commands.
type operator struct {
	program, home, dir string
}

// newOperator builds the command, for somebody with a home of his own.
func newOperator(t *testing.T) *operator {
	t.Helper()
	if !*qemu {
		t.Skip("a machine is booted with -qemu only")
	}
	home := t.TempDir()
	o := &operator{program: filepath.Join(home, "bin", "leap"), home: home, dir: home}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", o.program, "../../image/cmd/leap")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

// run types a command, and returns what it prints and its exit status.
func (o *operator) run(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	begin := time.Now()
	cmd := exec.CommandContext(ctx, o.program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+o.home, "XDG_CACHE_HOME="+filepath.Join(o.home, "cache"), "LEAP_KEYS=", "USER=alice", "SOURCE_DATE_EPOCH=1700000000",
		"GOCACHE="+goEnv(t, "GOCACHE"), "GOMODCACHE="+goEnv(t, "GOMODCACHE"))
	err := cmd.Run()
	t.Logf("%6.1f s  leap %s", time.Since(begin).Seconds(), strings.Join(args, " "))
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	status = cmd.ProcessState.ExitCode()
	if status != 0 {
		t.Logf("status %d:\n%s%s", status, stdout.String(), stderr.String())
	}
	return stdout.String(), status
}

// must is run for a command that has to succeed.
func (o *operator) must(t *testing.T, args ...string) string {
	t.Helper()
	out, status := o.run(t, args...)
	if status != 0 {
		t.FailNow()
	}
	return out
}

// read is must for one that prints JSON.
func (o *operator) read(t *testing.T, into any, args ...string) {
	t.Helper()
	check(t, json.Unmarshal([]byte(o.must(t, append(args, "--json")...)), into))
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	check(t, err)
	return strings.TrimSpace(string(out))
}

// end stops the machines, and leaves what a failed test needs.
func (o *operator) end(t *testing.T) {
	if t.Failed() {
		dir := filepath.Join(*artefacts, t.Name())
		errs := []error{os.RemoveAll(dir), os.MkdirAll(dir, 0o700)}
		list, err := filepath.Glob(filepath.Join(o.dir, ".leap", "local", "*"))
		errs = append(errs, err)
		for _, path := range list {
			if filepath.Ext(path) == ".serial" || filepath.Base(path) == "log" {
				text, err := os.ReadFile(path)
				errs = append(errs, err, os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600))
			}
		}
		logs, _ := o.run(t, "logs", "-n", "2000")
		errs = append(errs, os.WriteFile(filepath.Join(dir, "node.log"), []byte(logs), 0o600))
		t.Logf("console and logs are in %s: %v", dir, errors.Join(errs...))
	}
	if _, status := o.run(t, "local", "stop"); status != 0 {
		t.Error("the machines are not stopped")
	}
}

func TestFirstHour(t *testing.T) {
	o := newOperator(t)
	o.must(t, "new", "demo", "--domain", "demo.example", "--yes")
	o.dir = filepath.Join(o.home, "demo")
	o.must(t, "node", "add", "web1", "--local", "services:couchdb,soledad,webapp,mx,dns")
	if _, status := o.run(t, "test"); status != 1 {
		t.Errorf("a test without machines ends with %d", status)
	}
	t.Cleanup(func() { o.end(t) })

	source, err := filepath.Abs("../..")
	check(t, err)
	o.must(t, "image", "build", "--source", source)
	var lab local.Lab
	o.read(t, &lab, "local", "start")
	if len(lab.Nodes) != 1 || !lab.Nodes[0].On || lab.Nodes[0].Address != "10.5.5.2" {
		t.Fatalf("%+v", lab)
	}
	o.visited(t, lab)
	o.tested(t)
	var results []struct{ Outcome string }
	o.read(t, &results, "deploy")
	if len(results) != 1 || results[0].Outcome != "unchanged" {
		t.Errorf("deployed again: %+v", results)
	}
	var invites struct{ Codes []string }
	o.read(t, &invites, "run", "invite", "--count", "3", "--days", "1")
	if len(invites.Codes) != 3 {
		t.Errorf("%+v", invites)
	}
	if text := o.must(t, "local", "console", "web1"); !strings.Contains(text, "up after") {
		t.Errorf("the console says:\n%s", text)
	}

	before := o.booted(t)
	o.must(t, "local", "stop")
	if o.must(t, "local", "ls"); machines(t, lab.Nodes[0].PID) {
		t.Error("the machine goes on")
	}
	o.must(t, "local", "start")
	if o.booted(t) == before {
		t.Error("it was not started anew")
	}
	o.tested(t, "--account=false")
	o.flashed(t)
	o.must(t, "local", "rm", "--yes")
	if _, err := os.Stat(filepath.Join(o.dir, ".leap", "local", "web1.disk")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disk is still there: %v", err)
	}
	o.firmware(t)
}

// firmware has a machine start from its disk, also once it was reset.
func (o *operator) firmware(t *testing.T) {
	t.Helper()
	loader := func() string {
		var all []struct {
			Status struct{ Image struct{ Loader string } }
		}
		o.read(t, &all, "status")
		return all[0].Status.Image.Loader
	}
	o.must(t, "local", "start", "--firmware")
	if l := loader(); !strings.HasPrefix(l, "systemd-boot") {
		t.Errorf("it was started by %q", l)
	}
	if _, status := o.run(t, "local", "start", "--firmware"); status != 1 {
		t.Error("a machine that runs is started from its disk")
	}
	o.must(t, "local", "reset", "--yes")
	if l := loader(); !strings.HasPrefix(l, "systemd-boot") {
		t.Errorf("it was started by %q once it was reset", l)
	}
	o.must(t, "local", "rm", "--yes")
}

// visited has a browser of this machine look at the front page, by the name that
// the lab's name server knows.
func (o *operator) visited(t *testing.T, lab local.Lab) {
	t.Helper()
	one := lab.Nodes[0]
	if one.Shut != "" { // Not everybody may listen there.
		if slices.Contains(one.Doors, 443) || !slices.Contains(one.Doors, 4430) {
			t.Errorf("%+v", one)
		}
		return
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(o.dir, "files", "ca", "ca.crt"))
	if check(t, err); !roots.AppendCertsFromPEM(text) {
		t.Fatal("ca.crt holds no certificate")
	}
	d := &net.Dialer{Timeout: patience, Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", lab.Resolver)
	}}}
	browser := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	page, err := browser.Get("https://demo.example./")
	check(t, err)
	if check(t, page.Body.Close()); page.StatusCode != http.StatusOK {
		t.Errorf("the front page answers %s", page.Status)
	}
	if text := o.must(t, "local", "ls"); !strings.Contains(text, "--resolver "+lab.Resolver) || !strings.Contains(text, one.Here) {
		t.Errorf("nobody is told how to get there:\n%s", text)
	}
}

// tested runs all checks until they are good: a service whose first question to
// the database came too early is well at its next one.
func (o *operator) tested(t *testing.T, args ...string) {
	t.Helper()
	var names []string
	for end, good := time.Now().Add(patience), false; !good; {
		out, status := o.run(t, append([]string{"test", "--json"}, args...)...)
		var found []struct{ Check, State, Text string }
		check(t, json.Unmarshal([]byte(out), &found))
		good, names = status == 0, nil
		for _, f := range found {
			if names = append(names, f.Check); f.State != "ok" && (good || time.Now().After(end)) {
				t.Errorf("%+v", f)
			}
		}
		if !good && time.Now().After(end) {
			t.FailNow()
		}
	}
	for _, want := range []string{"agent", "generation", "listeners", "ports", "web.provider", "api.answers", "nickserver.lookup", "soledad.foreign", "mx.recipients", "relay.login", "dns.tcp"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no check %s", want)
		}
	}
	if account := !slices.Contains(args, "--account=false"); slices.Contains(names, "account") != account || slices.Contains(names, "account.mail") != account {
		t.Errorf("the checks are %q", names)
	}
}

// booted is when the node was switched on.
func (o *operator) booted(t *testing.T) string {
	t.Helper()
	var all []struct {
		Status struct{ Booted string }
	}
	o.read(t, &all, "status")
	return all[0].Status.Booted
}

// machines reports whether a process runs.
func machines(t *testing.T, pid int) bool {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }() // It is nobody's child here.
	return p.Signal(syscall.Signal(0)) == nil
}

// flashed writes disks as for a machine elsewhere, and has UEFI firmware start
// from them.
func (o *operator) flashed(t *testing.T) {
	t.Helper()
	disk, identity := filepath.Join(o.home, "web1.img"), filepath.Join(o.home, "identity")
	o.must(t, "flash", disk, "--size", "3G")
	if _, status := o.run(t, "flash", disk); status != 1 {
		t.Error("a file is overwritten without asking")
	}
	o.must(t, "node", "identity", "web1", identity)
	h, err := vm.Open(t.Context(), vm.Options{Accel: vm.TCG})
	check(t, err)
	m, err := h.Start(t.Context(), vm.Config{
		Name: "flashed", Memory: 768, UEFI: &vm.UEFI{Vars: filepath.Join(o.home, "vars")},
		Drives: []vm.Drive{{Path: disk, Volatile: true}, {Path: identity, ReadOnly: true}},
	})
	check(t, err)
	defer func() { check(t, m.Close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	begin := time.Now()
	if _, err := m.WaitSerial(ctx, 0, "up after"); err != nil {
		t.Fatal(err)
	}
	t.Logf("%6.1f s  the flashed disk has started by UEFI", time.Since(begin).Seconds())
}
