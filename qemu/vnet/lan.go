package vnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// maxTable bounds how many addresses the switch learns.
const maxTable = 4096

// Config says how a LAN behaves.
type Config struct {
	// Seed makes the losses of links repeatable.
	Seed uint64
	// CaptureBytes is how many bytes of frames, the newest, are kept for
	// [LAN.WritePcap]. 0 means 8 MiB.
	CaptureBytes int
	// CaptureFile, if it is not empty, gets every frame as pcap.
	CaptureFile string
}

// A LAN is a learning switch and its ports. Its methods may be called from any
// goroutine.
type LAN struct {
	dir string         // Where the sockets are.
	wg  sync.WaitGroup // Of all goroutines.

	mu      sync.Mutex // Taken before the lock of a queue.
	closed  bool
	ports   map[string]*Port
	table   map[mac]*Port
	cuts    map[[2]string]bool // Both orders of each pair.
	chance  *rand.Rand
	capture *capture
}

// New returns a LAN without ports. Close ends it.
func New(c Config) (*LAN, error) {
	taken, err := newCapture(c.CaptureBytes, c.CaptureFile)
	if err != nil {
		return nil, err
	}
	// In a short place: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "lan")
	if err != nil {
		return nil, errors.Join(err, taken.close())
	}
	return &LAN{
		dir: dir, ports: map[string]*Port{}, table: map[mac]*Port{},
		cuts: map[[2]string]bool{}, chance: rand.New(rand.NewPCG(c.Seed, 1)), capture: taken,
	}, nil
}

// Close unplugs everything and waits until all is quiet. Hosts and forwards of
// the LAN are closed before.
func (l *LAN) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	var errs []error
	for _, p := range l.ports {
		errs = append(errs, p.hangUp())
	}
	l.mu.Unlock()
	l.wg.Wait()
	return errors.Join(append(errs, l.capture.close(), os.RemoveAll(l.dir))...)
}

var portName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// add makes a port of that name, which must be new.
func (l *LAN) add(p *Port) error {
	if !portName.MatchString(p.name) {
		return fmt.Errorf("%q is no name of a port", p.name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("the LAN is closed")
	}
	if l.ports[p.name] != nil {
		return fmt.Errorf("there is a port %s", p.name)
	}
	if err := p.plugIn(filepath.Join(l.dir, p.name)); err != nil {
		return err
	}
	l.ports[p.name] = p
	return nil
}

// Cut stops all frames between two ports, both ways, until [LAN.Join] or
// [LAN.Heal]. A cut between each of some ports and each of the others is a
// partition.
func (l *LAN) Cut(a, b *Port) { l.setCut(a, b, true) }

// Join ends what Cut began.
func (l *LAN) Join(a, b *Port) { l.setCut(a, b, false) }

func (l *LAN) setCut(a, b *Port, cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cuts[[2]string{a.name, b.name}] = cut
	l.cuts[[2]string{b.name, a.name}] = cut
}

// Heal joins all that was cut. Links stay as they are.
func (l *LAN) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.cuts)
}

// forward passes a frame on that came from a port. Nobody changes the frame
// afterwards.
func (l *LAN) forward(from *Port, frame []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	from.stats.In++
	if len(frame) < headerLen || len(frame) > MaxFrame {
		from.stats.Bad++
		return
	}
	now := time.Now()
	l.capture.add(now, frame)
	if !l.passes(from) {
		return
	}
	dst, src := addresses(frame)
	if _, known := l.table[src]; !src.multicast() && (known || len(l.table) < maxTable) {
		l.table[src] = from
	}
	if to := l.table[dst]; to != nil {
		l.send(now, from, to, frame)
		return
	}
	for _, to := range l.ports {
		l.send(now, from, to, frame)
	}
}

// send puts a frame on the cable to a port, if it is another one than that
// where the frame came from.
func (l *LAN) send(now time.Time, from, to *Port, frame []byte) {
	if from == to {
		return
	}
	if l.cuts[[2]string{from.name, to.name}] {
		to.stats.Cut++
		return
	}
	if !l.passes(to) {
		return
	}
	if !to.queue.push(now.Add(from.link.Delay+to.link.Delay), frame) {
		to.stats.Full++
	}
}

// passes decides whether a frame gets through the cable of a port.
func (l *LAN) passes(p *Port) bool {
	switch {
	case p.link.Down:
		p.stats.Cut++
	case p.link.Loss > 0 && l.chance.Float64() < p.link.Loss:
		p.stats.Lost++
	default:
		return true
	}
	return false
}

// forget removes what the switch knows of a port whose other end went away.
func (l *LAN) forget(p *Port) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, at := range l.table {
		if at == p {
			delete(l.table, a)
		}
	}
	p.queue.clear()
}
