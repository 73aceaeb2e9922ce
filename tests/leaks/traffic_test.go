package leaks_test

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
)

// An actor is a user with a thread of its own in a namespace.
type actor struct {
	work chan func()
	open []int // Sockets of the last volley.
}

// actor returns one. It ends with the run.
func (w *world) actor(p *nettest.Peer, uid int) *actor {
	w.Helper()
	var ns *os.File
	p.Do(w.T, func() (err error) {
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	a := &actor{work: make(chan func())}
	ready, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // Never unlocked: nobody else becomes this user.
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil && uid != 0 {
			// The raw calls are for this thread alone.
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
				err = errno
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
				err = errno
			}
		}
		ready <- err
		for f := range a.work {
			f()
		}
	}()
	w.Cleanup(func() {
		a.volley(nil)
		close(a.work)
		<-done
	})
	err := <-ready
	ns.Close()
	if err != nil && uid != 0 {
		w.Skipf("SKIPPED: only root can be several users: %v", err)
	}
	w.must(err)
	return a
}

// do runs f as the actor.
func (a *actor) do(f func()) {
	done := make(chan struct{})
	a.work <- func() { defer close(done); f() }
	<-done
}

// A shot is one packet, or the first of a connection.
type shot struct {
	proto string // tcp, udp or icmp.
	to    netip.AddrPort
	card  string // The network card that the program insists on. Empty: none.
}

// fire sends it and returns the socket, which goes on trying until it is closed:
// -1 if there is none. What the kernel refuses is no leak.
func (s shot) fire() int {
	ip, ping, v6 := unix.IPPROTO_ICMP, byte(8), s.to.Addr().Is6()
	family, kind, proto := unix.AF_INET, unix.SOCK_DGRAM, 0
	if v6 {
		family, ip, ping = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
	}
	port := int(s.to.Port())
	switch s.proto {
	case "tcp":
		kind = unix.SOCK_STREAM
	case "icmp":
		kind, proto, port = unix.SOCK_RAW, ip, 0
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return -1
	}
	if s.card != "" {
		_ = unix.BindToDevice(fd, s.card)
	}
	var to unix.Sockaddr
	if v6 {
		to = &unix.SockaddrInet6{Addr: s.to.Addr().As16(), Port: port}
	} else {
		to = &unix.SockaddrInet4{Addr: s.to.Addr().As4(), Port: port}
	}
	switch s.proto {
	case "tcp":
		_ = unix.Connect(fd, to)
	case "icmp":
		_ = unix.Sendto(fd, []byte{ping, 0, 255 - ping, 255, 0, 0, 0, 0}, 0, to)
	default:
		_ = unix.Sendto(fd, []byte("in the clear, as any program would send it"), 0, to)
	}
	return fd
}

// volley fires each shot, and lets the last one's sockets go.
func (a *actor) volley(shots []shot) {
	a.do(func() {
		for _, fd := range a.open {
			unix.Close(fd)
		}
		a.open = a.open[:0]
		for _, s := range shots {
			if fd := s.fire(); fd >= 0 {
				a.open = append(a.open, fd)
			}
		}
	})
}

// matrix is every protocol to each address, on the port of DNS and on another,
// by any card and by eth0.
func matrix(addresses ...string) (all []shot) {
	for _, text := range addresses {
		to := netip.MustParseAddr(text)
		for _, card := range []string{"", "eth0"} {
			for _, proto := range []string{"tcp", "udp"} {
				for _, port := range []uint16{53, 4444} {
					all = append(all, shot{proto, netip.AddrPortFrom(to, port), card})
				}
			}
			all = append(all, shot{"icmp", netip.AddrPortFrom(to, 0), card})
		}
	}
	return all
}

// everything is the matrix of vpn.md 8: a public address, a private one, and
// one of IPv6.
func everything() []shot { return matrix(server4, private, server6) }

// storm fires shots all the time until it is told to stop.
func (w *world) storm(a *actor, shots []shot) (stop func()) {
	end, done := make(chan struct{}), sync.WaitGroup{}
	done.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for {
			a.volley(shots)
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(end); done.Wait() }
}

// connects reports whether a connection to the address is made, by the thread
// that calls.
func connects(to netip.AddrPort) bool {
	c, err := net.DialTimeout("tcp", to.String(), 2*time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
