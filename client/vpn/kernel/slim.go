package kernel

import (
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// scratch keeps the memory of wireguard-go small. Its TUN device and its socket
// join packets in the buffer of the first one, which has 64 KiB of which a packet
// alone uses 1.5; as buffers go round, all of them become resident: 64 MB at
// 1.5 Gbit/s. So the joining is done in buffers that are not the pool's: 16 MB.
// A copy of each packet is the price.
type scratch struct {
	mu      sync.Mutex // Guards what follows.
	buffers [][]byte
	batch   [][]byte
}

// copied calls f with copies of the packets, good until it returns.
func (s *scratch) copied(packets [][]byte, f func([][]byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buffers) < len(packets) {
		s.buffers = append(s.buffers, make([]byte, device.MaxMessageSize))
	}
	s.batch = s.batch[:0]
	for i, p := range packets {
		s.batch = append(s.batch, s.buffers[i][:copy(s.buffers[i], p)])
	}
	return f(s.batch)
}

// slimTUN is a TUN device that joins packets in buffers of its own.
type slimTUN struct {
	tun.Device
	scratch scratch
}

// Write implements tun.Device.
func (s *slimTUN) Write(packets [][]byte, offset int) (n int, err error) {
	err = s.scratch.copied(packets, func(copies [][]byte) error {
		n, err = s.Device.Write(copies, offset)
		return err
	})
	return n, err
}

// slimBind is a socket that does.
type slimBind struct {
	conn.Bind
	scratch scratch
}

// Send implements conn.Bind.
func (s *slimBind) Send(packets [][]byte, to conn.Endpoint) error {
	return s.scratch.copied(packets, func(copies [][]byte) error { return s.Bind.Send(copies, to) })
}
