package vpn_test

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
)

// delay makes a cable of two TUN devices, near here and far at p, on which a
// packet is under way for d.
func (w *world) delay(p *nettest.Peer, near, far string, d time.Duration) {
	w.Helper()
	a, err := openTUN(near)
	w.must(err)
	var b *os.File
	p.Do(w, func() (err error) {
		b, err = openTUN(far)
		return err
	})
	var wg sync.WaitGroup
	for _, way := range [][2]*os.File{{a, b}, {b, a}} {
		underway := make(chan packet, 4096)
		wg.Go(func() {
			defer close(underway)
			for {
				data := make([]byte, 2048)
				n, err := way[0].Read(data)
				if err != nil {
					return
				}
				select {
				case underway <- packet{time.Now().Add(d), data[:n]}:
				default: // As a full queue has it.
				}
			}
		})
		wg.Go(func() {
			for p := range underway {
				time.Sleep(time.Until(p.due))
				_, _ = way[1].Write(p.data) // The link is down before it is up.
			}
		})
	}
	w.Cleanup(func() {
		a.Close()
		b.Close()
		wg.Wait()
	})
}

// A packet is on a cable.
type packet struct {
	due  time.Time
	data []byte
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
