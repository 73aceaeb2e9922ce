package nettest

import (
	"errors"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// WireGuard makes WireGuard's device of that name in user space where the kernel
// cannot: the same code then configures it over its socket. Where the kernel can,
// it makes nothing. It skips the test where neither is possible.
func WireGuard(t testing.TB, name string) {
	t.Helper()
	Need(t)
	probe := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "probe"}}
	err := netlink.LinkAdd(probe)
	if err == nil {
		t.Log("WireGuard of the kernel")
		if err := netlink.LinkDel(probe); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatal(err)
	}
	t.Log("WireGuard in user space, since the kernel has none")
	card, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		t.Skipf("neither the kernel has WireGuard, nor can a TUN device be made: %v", err)
	}
	d := device.NewDevice(card, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	const dir = "/var/run/wireguard"
	if err := os.MkdirAll(dir, 0o700); err != nil { // Hidden from the machine by Main.
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", dir+"/"+name+".sock")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			d.IpcHandle(c)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done; d.Close() })
}

// Bind returns a socket of WireGuard in user space that is at the peer, whoever of
// its goroutines opens it: its device comes up by itself, too.
func (p *Peer) Bind(t testing.TB) conn.Bind { return bind{conn.NewDefaultBind(), t, p} }

type bind struct {
	conn.Bind
	t testing.TB
	p *Peer
}

// Open implements conn.Bind.
func (b bind) Open(port uint16) (receive []conn.ReceiveFunc, actual uint16, err error) {
	b.p.Do(b.t, func() error {
		receive, actual, err = b.Bind.Open(port)
		return nil
	})
	return receive, actual, err
}
