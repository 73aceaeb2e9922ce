package vnet

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// A Link is the state of a port's cable. Its zero value is a perfect one.
type Link struct {
	Delay time.Duration // Of every frame, each way.
	Loss  float64       // Probability, 0 to 1, that a frame is lost, each way.
	Down  bool          // The cable is pulled.
}

// Stats counts the frames of a port.
type Stats struct {
	In   int64 // Came from the port.
	Out  int64 // Were given to the port.
	Lost int64 // Lost by Link.Loss.
	Cut  int64 // Stopped by Link.Down or Cut.
	Full int64 // Lost because the port does not read.
	Bad  int64 // Shorter than a header or longer than MaxFrame.
}

// A Port is one socket of the switch.
type Port struct {
	lan      *LAN
	name     string
	queue    *queue
	deliver  func(frame []byte) error
	listener *net.UnixListener // Nil if the other end is in this process.
	stop     chan struct{}     // Closed when the port is.

	link  Link  // Guarded by lan.mu.
	stats Stats // Guarded by lan.mu.

	mu   sync.Mutex
	conn net.Conn // Of the machine that is plugged in.
	gone bool     // No machine may plug in any more.
}

// Listen makes a port for a machine. One machine at a time is plugged in; when
// it goes, the next one may come.
func (l *LAN) Listen(name string) (*Port, error) {
	p := &Port{lan: l, name: name, queue: newQueue(), stop: make(chan struct{})}
	return p, l.add(p)
}

// Attach makes a port whose other end is in this process: deliver is called with
// each frame, one after the other; it must not keep or change the frame.
func (l *LAN) Attach(name string, deliver func(frame []byte) error) (*Port, error) {
	p := &Port{lan: l, name: name, queue: newQueue(), stop: make(chan struct{}), deliver: deliver}
	return p, l.add(p)
}

// Name returns the name of the port.
func (p *Port) Name() string { return p.name }

// Path returns the path of the unix socket where a machine plugs in, or "" for
// an attached port.
func (p *Port) Path() string {
	if p.listener == nil {
		return ""
	}
	return p.listener.Addr().String()
}

// SetLink changes the cable. Frames under way are not changed.
func (p *Port) SetLink(k Link) {
	p.lan.mu.Lock()
	defer p.lan.mu.Unlock()
	p.link = k
}

// Stats returns what was counted so far.
func (p *Port) Stats() Stats {
	p.lan.mu.Lock()
	defer p.lan.mu.Unlock()
	return p.stats
}

// Send gives the switch a frame, as if it came from the other end. The frame
// must not be changed afterwards.
func (p *Port) Send(frame []byte) { p.lan.forward(p, frame) }

// plugIn starts the port. The caller holds lan.mu. A port that nobody is
// attached to listens at path.
func (p *Port) plugIn(path string) error {
	if p.deliver == nil {
		var err error
		if p.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		p.deliver = p.write
		p.lan.wg.Go(p.accept)
	}
	p.lan.wg.Go(p.pump)
	return nil
}

// accept serves one machine after the other.
func (p *Port) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // The listener is closed.
		}
		if !p.occupy(c) {
			return
		}
		p.read(c)
		p.leave(c)
	}
}

// read passes on what a machine sends, until it goes away or sends what is no
// frame.
func (p *Port) read(c net.Conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		frame, err := readFrame(r)
		if err != nil {
			return
		}
		p.Send(frame)
	}
}

// pump gives the port its frames.
func (p *Port) pump() {
	for {
		frame, ok := p.queue.pop(p.stop)
		if !ok {
			return
		}
		if p.deliver(frame) == nil {
			p.lan.mu.Lock()
			p.stats.Out++
			p.lan.mu.Unlock()
		}
	}
}

// write sends a frame to the machine that is plugged in.
func (p *Port) write(frame []byte) error {
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c == nil {
		return net.ErrClosed
	}
	err := writeFrame(c, frame)
	if err != nil {
		_ = c.Close() // Half a frame may be written: the reader ends, and unplugs it.
	}
	return err
}

// occupy takes a machine in, unless the port is closed.
func (p *Port) occupy(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		_ = c.Close() // It was never used.
		return false
	}
	p.conn = c
	return true
}

// leave forgets the machine.
func (p *Port) leave(c net.Conn) {
	p.mu.Lock()
	p.conn = nil
	p.mu.Unlock()
	_ = c.Close() // Often it is closed already.
	p.lan.forget(p)
}

// remove takes the port out of the LAN.
func (p *Port) remove() error {
	p.lan.mu.Lock()
	delete(p.lan.ports, p.name)
	p.lan.mu.Unlock()
	p.lan.forget(p)
	return p.hangUp()
}

// hangUp ends the port.
func (p *Port) hangUp() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	p.gone = true
	close(p.stop)
	if p.conn != nil {
		_ = p.conn.Close() // Its reader ends, whatever this says.
	}
	if p.listener == nil {
		return nil
	}
	return p.listener.Close()
}
