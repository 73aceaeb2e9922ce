//go:build linux

package launch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"leap.example/appliance/launch"
	"leap.example/appliance/node"
)

// TestMain is also the confined process: with the argument "confined" it does
// what it may and tries what it may not, and prints what came of it; with
// "service" it is a service of a node.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "confined" {
		os.Exit(confined(os.Args[2]))
	}
	if len(os.Args) == 5 && os.Args[1] == "service" {
		os.Exit(asService(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(m.Run())
}

// A place is where the confined process lives.
type place struct {
	Own, State, Other, Keys string // Directories, each with a file "f".
	Port, OtherPort         uint16
	Parent                  int
	Net                     bool
}

// ports are those that it may offer.
func (p place) ports() []uint16 {
	if p.Port == 0 {
		return nil
	}
	return []uint16{p.Port}
}

func errno(r, _ uintptr, e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

func confined(arg string) int {
	var p place
	if err := json.Unmarshal([]byte(arg), &p); err != nil {
		fmt.Println(err)
		return 1
	}
	err := launch.Confine(launch.Limits{
		Read: []string{p.Own, "/etc", "/proc/self", "/nonexistent"}, Write: []string{p.State, "/dev/null"},
		Ports: p.ports(), Memory: 64 << 20, Net: p.Net,
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	results := map[string]string{}
	try := func(what string, err error) {
		results[what] = "ok"
		if err != nil {
			results[what] = err.Error()
		}
	}
	readFile := func(path string) error { _, err := os.ReadFile(path); return err }
	try("may read its configuration", readFile(p.Own+"/f"))
	try("may write its state", work(p.State))
	try("may serve and call", serve(p.Port))
	try("may offer IPv6 and IPv4", both(p.Port))
	_, err = net.Interfaces()
	try("may list interfaces", err)

	try("write its configuration", os.WriteFile(p.Own+"/f", nil, 0o600))
	try("read another's configuration", readFile(p.Other+"/f"))
	_, err = os.ReadDir(p.Other)
	try("list another's directory", err)
	try("read keys", readFile(p.Keys+"/f"))
	try("read another's memory map", readFile(fmt.Sprintf("/proc/%d/maps", p.Parent)))
	try("listen elsewhere", listen(p.OtherPort))
	try("run a program", exec.Command("/bin/true").Run())
	try("become a program", syscall.Exec("/bin/true", []string{"true"}, nil))
	try("fork", errno(syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)))
	try("fork with the number of a call as signal", errno(syscall.RawSyscall6(unix.SYS_CLONE, unix.SYS_MMAP, 0, 0, 0, 0, 0)))
	try("trace its parent", unix.PtraceAttach(p.Parent))
	try("signal its parent", syscall.Kill(p.Parent, 0))
	try("mount", unix.Mount("tmpfs", p.State, "tmpfs", 0, ""))
	try("enter a namespace", unix.Unshare(unix.CLONE_NEWUSER))
	try("set a namespace", unix.Setns(0, 0))
	try("chroot", unix.Chroot(p.State))
	try("load a module", errno(unix.Syscall(unix.SYS_FINIT_MODULE, 0, 0, 0)))
	try("load a kernel", errno(unix.Syscall(unix.SYS_KEXEC_FILE_LOAD, 0, 0, 0)))
	try("use bpf", errno(unix.Syscall(unix.SYS_BPF, 0, 0, 0)))
	_, err = unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	try("use keyrings", err)
	try("use io_uring", errno(unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)))
	try("set the clock", unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{Sec: 1}))
	try("restart the machine", unix.Reboot(-1))
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	try("map executable memory", err)
	try("make memory executable", executable())
	_, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	try("see packets", err)
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
	try("use multipath TCP", err)
	try("become root", unix.Setuid(0))
	try("raise its limits", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}))
	try("become dumpable", unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	err = unix.Capget(&head, &have[0])
	results["capabilities"] = fmt.Sprint(have[0].Permitted, have[1].Permitted, have[0].Effective, err)
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		return 1
	}
	return 0
}

// work does with files what services do.
func work(dir string) error {
	err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700)
	f, err2 := os.CreateTemp(dir, "x")
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	_, err = f.WriteString("text")
	to := filepath.Join(dir, "a", "b", "f")
	err = errors.Join(err, f.Sync(), f.Truncate(2), f.Close(), os.Rename(f.Name(), to), os.Link(to, to+"2"), os.Symlink("f", to+"3"))
	null, err2 := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	return errors.Join(null.Close(), os.RemoveAll(filepath.Join(dir, "a")))
}

func listen(port uint16) error {
	ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return err
	}
	return ln.Close()
}

// both listens on all addresses and connects by IPv6, if this machine has that.
func both(port uint16) error {
	ln, err := net.Listen("tcp", fmt.Sprint(":", port))
	if err != nil {
		return err
	}
	defer ln.Close()
	if _, err := os.Stat("/proc/self/net/if_inet6"); err != nil {
		return nil
	}
	c, err := net.Dial("tcp", fmt.Sprint("[::1]:", ln.Addr().(*net.TCPAddr).Port))
	if err != nil {
		return err
	}
	return c.Close()
}

func serve(port uint16) error {
	ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })}
	go s.Serve(ln)
	defer s.Close()
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); string(text) != "hello" {
		return fmt.Errorf("read %q, %w", text, err)
	}
	return nil
}

func executable() error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil // Which is not what is tried.
	}
	return errno(unix.Syscall(unix.SYS_MPROTECT, uintptr(unsafe.Pointer(&page[0])), 4096, unix.PROT_READ|unix.PROT_EXEC))
}

func freePort(t *testing.T) uint16 {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

// TestConfine confines a process. Files are open to everyone by their modes, so
// that only the confinement keeps it from them.
func TestConfine(t *testing.T) {
	base := t.TempDir()
	for p := base; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := place{Port: freePort(t), Parent: os.Getpid()}
	p.OtherPort = freePort(t)
	for name, dir := range map[string]*string{"own": &p.Own, "state": &p.State, "other": &p.Other, "keys": &p.Keys} {
		*dir = filepath.Join(base, name)
		if err := errors.Join(os.Mkdir(*dir, 0o755), os.Chmod(*dir, 0o777), os.WriteFile(*dir+"/f", []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	// The program of the test lies where only its builder may go.
	program := filepath.Join(base, "program")
	if err := copyFile(program, os.Args[0]); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		port uint16
		sys  *syscall.SysProcAttr
		net  bool
		caps string
	}{
		{"the same user", p.Port, nil, false, "0 0 0 <nil>"},
		{"one that offers nothing", 0, nil, false, "0 0 0 <nil>"},
		{"a service's user", p.Port, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1004, Gid: 1004}}, false, "0 0 0 <nil>"},
		{"a gateway", p.Port, &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 1004, Gid: 1004}, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
		}, true, "4096 0 4096 <nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.sys != nil && os.Geteuid() != 0 {
				t.Skip("becoming another user needs root")
			}
			p.Net, p.Port = tt.net, tt.port
			arg, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, "confined", string(arg))
			cmd.SysProcAttr = tt.sys
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var results map[string]string
			if err := json.Unmarshal(out, &results); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := results["capabilities"]; got != tt.caps {
				t.Errorf("its capabilities are %s, want %s", got, tt.caps)
			}
			delete(results, "capabilities")
			if len(results) < 30 {
				t.Errorf("it did only %d things", len(results))
			}
			for what, got := range results {
				if may := strings.HasPrefix(what, "may "); may != (got == "ok") {
					t.Errorf("%s: %s", what, got)
				} else if !may && !strings.Contains(got, "not permitted") && !strings.Contains(got, "denied") {
					t.Errorf("%s failed for another reason: %s", what, got)
				}
			}
		})
	}
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// TestForService keeps services apart by their paths.
func TestForService(t *testing.T) {
	l := launch.ForService("mx", node.Launch{Memory: 1 << 20, Ports: []uint16{25}})
	for _, path := range append(l.Read, l.Write...) {
		for _, secret := range []string{"/perm/keys", "/perm/state/relay", "/run/leap/relay/x", "/perm/node", "/run/leap/control"} {
			if path == "/" || strings.HasPrefix(secret, path+"/") || path == secret {
				t.Errorf("%s is open, and so is %s", path, secret)
			}
		}
	}
	if len(l.Ports) != 1 || strconv.Itoa(int(l.Ports[0])) != "25" {
		t.Errorf("its ports are %v", l.Ports)
	}
}
