// Package nettest gives the tests of a package networks of their own. [Main]
// runs them in a child process that is born into new namespaces for network and
// mounts, so that nothing that they do can reach the machine's own network;
// [NewPeer] makes one more namespace beside it, and [Veth] a cable between the
// two. Nothing here needs a program of the system.
//
//	this namespace ("the node")            a peer's namespace
//	   near ------------------ veth ------------------ far
//
// Root is needed, or a kernel that lets others make namespaces. Where neither
// is, the tests run as they are, and those that [Need] a network skip.
package nettest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Main runs the tests in new namespaces and returns the status to exit with.
// It fails if goroutines are left behind. To be called by TestMain.
func Main(m *testing.M) int {
	if apart() {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "nettest:", err)
			return 1
		}
		return run(m)
	}
	for _, arg := range os.Args {
		if strings.HasPrefix(arg, "-test.fuzz") { // Its workers talk over files that a child would not have.
			return run(m)
		}
	}
	// Pdeathsig is for the thread that starts the child.
	runtime.LockOSThread()
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   attributes(),
	})
	if err != nil {
		return run(m)
	}
	state, err := child.Wait()
	if err != nil || !state.Exited() {
		fmt.Fprintln(os.Stderr, "nettest:", state, err)
		return 1
	}
	return state.ExitCode()
}

// attributes ask for the namespaces. Who is not root becomes it in one more.
func attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// apart reports whether this process has another network than its parent.
func apart() bool {
	own, err1 := os.Readlink("/proc/self/ns/net")
	parent, err2 := os.Readlink("/proc/" + strconv.Itoa(os.Getppid()) + "/ns/net")
	return err1 == nil && err2 == nil && own != parent
}

// prepare hides /run, where user space WireGuard leaves sockets.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("nettest", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	return begin()
}

// begin sets up a namespace. Its IPv6 addresses are good at once: nobody else
// has them.
func begin() error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o644); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func run(m *testing.M) int {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			return 1
		}
	}
	return code
}

// Need skips a test that has no network of its own.
func Need(t testing.TB) {
	t.Helper()
	if !apart() {
		t.Skip("needs network namespaces: root, or unprivileged user namespaces, and no fuzzing")
	}
}

// A Peer is another network namespace. It ends with the test.
type Peer struct{ work chan func() }

// NewPeer makes a namespace with loopback up. It skips the test where that is
// not possible.
func NewPeer(t testing.TB) *Peer {
	t.Helper()
	Need(t)
	p := &Peer{work: make(chan func())}
	ready, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // Never unlocked: the thread ends, and with it the namespace.
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = begin()
		}
		ready <- err
		for f := range p.work {
			f()
		}
	}()
	t.Cleanup(func() { close(p.work); <-done })
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	return p
}

// Do runs f in the namespace and fails the test on its error. Sockets that f
// opens stay there, wherever they are used; goroutines that it starts do not.
func (p *Peer) Do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	p.work <- func() { done <- f() }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Veth makes a cable with the plug near here and the plug far at the peer, which
// is set up with the addresses given, with their lengths of prefix. The node's
// end is left down. The cable ends with the test.
func (p *Peer) Veth(t testing.TB, near, far string, addresses ...string) {
	t.Helper()
	thread := make(chan int, 1)
	p.Do(t, func() error { thread <- unix.Gettid(); return nil })
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far, PeerNamespace: netlink.NsPid(<-thread),
	})
	if err != nil {
		t.Fatalf("making the cable: %v", err)
	}
	t.Cleanup(func() {
		if link, err := netlink.LinkByName(near); err == nil {
			_ = netlink.LinkDel(link) // The namespace that goes takes it along.
		}
	})
	p.Do(t, func() error {
		link, err := netlink.LinkByName(far)
		if err != nil {
			return err
		}
		for _, text := range addresses {
			a, err := netlink.ParseAddr(text)
			if err != nil {
				return err
			}
			a.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(link, a); err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(link)
	})
}

// Until polls until ok holds, and fails the test after 20 seconds with what it
// waited for.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
