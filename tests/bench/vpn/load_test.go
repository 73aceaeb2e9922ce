package vpn_test

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/appliance/netcfg/nettest"
)

const (
	serverPort = server + ":4444"
	block      = 256 << 10 // Bytes of one write or read.
	warmUp     = 500 * time.Millisecond
)

// sinks count what arrives at the server, by the number that a connection says.
type sinks struct {
	last    atomic.Uint64
	arrived sync.Map // *atomic.Int64 by uint64.
}

// of returns the counter of a connection.
func (s *sinks) of(id uint64) *atomic.Int64 {
	v, _ := s.arrived.LoadOrStore(id, new(atomic.Int64))
	return v.(*atomic.Int64)
}

// serve is the server: a connection begins with its number and 1, if the server
// is to send, or 0, if it is to receive.
func (w *world) serve() {
	w.Helper()
	var ln net.Listener
	w.server.Do(w, func() (err error) {
		ln, err = net.Listen("tcp4", serverPort)
		return err
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				var head [9]byte
				if _, err := io.ReadFull(c, head[:]); err != nil {
					return
				}
				if head[8] == 1 {
					send(c)
				} else {
					receive(c, w.sinks.of(binary.BigEndian.Uint64(head[:])))
				}
			})
		}
	})
	w.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range slices.Clone(open) {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

func send(c net.Conn) {
	for buf := make([]byte, block); ; {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

func receive(c net.Conn, n *atomic.Int64) {
	for buf := make([]byte, block); ; {
		k, err := c.Read(buf)
		n.Add(int64(k))
		if err != nil {
			return
		}
	}
}

// A load is one connection that carries as much as it can.
type load struct {
	arrived *atomic.Int64 // Bytes.
	stop    func()
}

// load starts one at p, from or to the server.
func (w *world) load(p *nettest.Peer, down bool) load {
	w.Helper()
	c := dial(w, p)
	head := binary.BigEndian.AppendUint64(nil, w.sinks.last.Add(1))
	l := load{arrived: w.sinks.of(w.sinks.last.Load())}
	work := func() { send(c) }
	if down {
		head = append(head, 1)
		work = func() { receive(c, l.arrived) }
	} else {
		head = append(head, 0)
	}
	_, err := c.Write(head)
	w.must(err)
	done := make(chan struct{})
	go func() { defer close(done); work() }()
	l.stop = func() {
		// What is in buffers would be under way for a minute with a limited client,
		// and take its part of the rate from the next load.
		w.must(c.(*net.TCPConn).SetLinger(0))
		c.Close()
		<-done
	}
	return l
}

// What a turn of load has found.
type turned struct {
	mbit float64 // Mbit/s that arrived.
	cpu  float64 // Seconds of the processes for each GB that arrived.
	most float64 // MB of anonymous memory of the first process.
}

// carry loads p for a turn, while processes are watched.
func (w *world) carry(p *nettest.Peer, down bool, d time.Duration, watched ...*process) turned {
	w.Helper()
	l := w.load(p, down)
	defer l.stop()
	time.Sleep(min(warmUp, d))
	begun, before := time.Now(), l.arrived.Load()
	cpu := sum(watched)
	var t turned
	for time.Since(begun) < d {
		time.Sleep(d / 10)
		if len(watched) > 0 {
			t.most = max(t.most, watched[0].anonymous())
		}
	}
	n := float64(l.arrived.Load() - before)
	t.mbit = 8 * n / time.Since(begun).Seconds() / 1e6
	t.cpu = ratio(1e9*(sum(watched)-cpu), n)
	return t
}

func sum(processes []*process) (s float64) {
	for _, p := range processes {
		s += p.cpu()
	}
	return s
}
