package vnet_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/qemu/vnet"
)

// A station is the other end of an attached port.
type station struct {
	port *vnet.Port
	addr [6]byte

	mu  sync.Mutex
	got []string
	at  time.Time // Of the last one.
}

// attach makes a station with the address 02:00:00:00:00:n.
func attach(t testing.TB, l *vnet.LAN, name string, n byte) *station {
	t.Helper()
	s := &station{addr: [6]byte{2, 5: n}}
	p, err := l.Attach(name, func(frame []byte) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got, s.at = append(s.got, string(frame[14:])), time.Now()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.port = p
	return s
}

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ethernet(to, from [6]byte, text string) []byte {
	return append(append(append(to[:len(to):len(to)], from[:]...), 0x88, 0xb5), text...)
}

func (s *station) send(to [6]byte, text string) { s.port.Send(ethernet(to, s.addr, text)) }

// take returns what came since the last call.
func (s *station) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// expect waits until nothing moves any more, and compares what each station got.
func expect(t *testing.T, what string, want map[*station]int) {
	t.Helper()
	synctest.Wait()
	for s, n := range want {
		if got := s.take(); len(got) != n {
			t.Errorf("%s: %s got %q, want %d", what, s.port.Name(), got, n)
		}
	}
}

func TestLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, vnet.Config{})
		a, b, c := attach(t, l, "a", 1), attach(t, l, "b", 2), attach(t, l, "c", 3)
		a.send(b.addr, "unknown")
		expect(t, "to an unknown address", map[*station]int{a: 0, b: 1, c: 1})
		b.send(a.addr, "known")
		expect(t, "to a known address", map[*station]int{a: 1, b: 0, c: 0})
		a.send(b.addr, "known")
		expect(t, "back", map[*station]int{a: 0, b: 1, c: 0})
		a.send(broadcast, "all")
		a.send([6]byte{0x33, 0x33, 5: 1}, "IPv6 multicast")
		expect(t, "to all", map[*station]int{a: 0, b: 2, c: 2})
		c.port.Send(ethernet(c.addr, broadcast, "a sender that is a group"))
		a.send(broadcast, "all")
		expect(t, "after a group as sender", map[*station]int{a: 1, b: 2, c: 1})
		c.port.Send(ethernet(a.addr, b.addr, "b has moved"))
		a.send(b.addr, "to where it is now")
		expect(t, "after a move", map[*station]int{a: 1, b: 0, c: 1})
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, vnet.Config{})
		a, b := attach(t, l, "a", 1), attach(t, l, "b", 2)
		a.port.SetLink(vnet.Link{Delay: 30 * time.Millisecond})
		b.port.SetLink(vnet.Link{Delay: 50 * time.Millisecond})
		start := time.Now()
		a.send(b.addr, "slow")
		b.port.SetLink(vnet.Link{})
		a.send(b.addr, "overtakes")
		time.Sleep(time.Second) // Fake time.
		expect(t, "delayed", map[*station]int{b: 2})
		if took := b.at.Sub(start); took != 80*time.Millisecond {
			t.Errorf("cables of 30 ms and 50 ms took %v", took)
		}
		a.port.SetLink(vnet.Link{})
		start = time.Now()
		b.send(a.addr, "fast")
		expect(t, "not delayed", map[*station]int{a: 1})
		if !a.at.Equal(start) {
			t.Errorf("perfect cables took %v", a.at.Sub(start))
		}
	})
}

func TestLossAndCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t, vnet.Config{Seed: 7})
		a, b, c := attach(t, l, "a", 1), attach(t, l, "b", 2), attach(t, l, "c", 3)
		b.port.SetLink(vnet.Link{Loss: 0.25})
		for range 1000 {
			a.send(b.addr, "x")
			synctest.Wait()
		}
		got, stats := len(b.take()), b.port.Stats()
		if got < 690 || got > 810 || stats.Lost != int64(1000-got) || stats.Out != int64(got) {
			t.Errorf("of 1000 frames over a cable that loses a quarter came %d; %+v", got, stats)
		}
		c.take()
		b.port.SetLink(vnet.Link{Down: true})
		a.send(broadcast, "x")
		b.send(broadcast, "x")
		expect(t, "b unplugged", map[*station]int{a: 0, b: 0, c: 1})
		b.port.SetLink(vnet.Link{})
		l.Cut(a.port, b.port)
		l.Cut(b.port, c.port)
		a.send(broadcast, "x")
		b.send(broadcast, "x")
		b.send(a.addr, "x")
		expect(t, "b cut off", map[*station]int{a: 0, b: 0, c: 1})
		l.Join(a.port, b.port)
		b.send(broadcast, "x")
		expect(t, "a and b joined", map[*station]int{a: 1, b: 0, c: 0})
		l.Heal()
		b.send(broadcast, "x")
		expect(t, "healed", map[*station]int{a: 1, b: 0, c: 1})
	})
}

func TestNames(t *testing.T) {
	l := newLAN(t, vnet.Config{})
	for _, name := range []string{"", "a/b", "..", "A", "a-name-that-has-more-than-32-characters"} {
		if _, err := l.Listen(name); err == nil {
			t.Errorf("a port named %q", name)
		}
	}
	if p := attach(t, l, "a", 1).port; p.Path() != "" {
		t.Errorf("an attached port has the path %s", p.Path())
	}
	if _, err := l.Listen("a"); err == nil {
		t.Error("two ports of one name")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Listen("b"); err == nil {
		t.Error("a port of a closed LAN")
	}
}

// plug plugs a machine into a port.
func plug(t *testing.T, p *vnet.Port) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", p.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// put writes what a machine sends.
func put(t *testing.T, c net.Conn, frame []byte) {
	t.Helper()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		t.Fatal(err)
	}
}

// get reads what a machine receives.
func get(t *testing.T, c net.Conn) string {
	t.Helper()
	head := make([]byte, 4)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(c, frame); err != nil {
		t.Fatal(err)
	}
	return string(frame[14:])
}

func TestMachines(t *testing.T) {
	l := newLAN(t, vnet.Config{})
	pa, err := l.Listen("a")
	if err != nil {
		t.Fatal(err)
	}
	pb, err := l.Listen("b")
	if err != nil {
		t.Fatal(err)
	}
	s := attach(t, l, "s", 3)
	a, b := plug(t, pa), plug(t, pb)
	macA, macB := [6]byte{2, 5: 1}, [6]byte{2, 5: 2}
	put(t, b, ethernet(broadcast, macB, "b is here"))
	until(t, "the switch knows b", func() bool { return len(s.take()) > 0 })
	put(t, a, ethernet(macB, macA, "hello"))
	for get(t, b) != "hello" {
		t.Log("b got something else")
	}

	// Frames that are none are counted and not passed on.
	put(t, a, []byte("short"))
	put(t, a, make([]byte, vnet.MaxFrame+1))
	put(t, a, ethernet(s.addr, macA, "after bad ones"))
	until(t, "s got the good one", func() bool { return len(s.take()) == 1 })
	if got := pa.Stats(); got.Bad != 2 || got.In != 4 {
		t.Errorf("of a short, a long and two good frames: %+v", got)
	}

	// What cannot be a length ends the connection; the next machine may come.
	if _, err := a.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	_ = a.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.Copy(io.Discard, a); err != nil {
		t.Errorf("after a wrong length: %d bytes, then %v", n, err)
	}
	a = plug(t, pa)
	put(t, a, ethernet(s.addr, macA, "again"))
	until(t, "s heard the next machine", func() bool { return len(s.take()) == 1 })
}

// TestSlowReader has one machine that does not read, while others talk.
func TestSlowReader(t *testing.T) {
	l := newLAN(t, vnet.Config{CaptureBytes: 1})
	slow, err := l.Listen("slow")
	if err != nil {
		t.Fatal(err)
	}
	c := plug(t, slow)
	a, b := attach(t, l, "a", 1), attach(t, l, "b", 2)
	put(t, c, ethernet(broadcast, [6]byte{2, 5: 9}, "here"))
	until(t, "the slow one is known", func() bool { return len(a.take()) > 0 })
	text := string(make([]byte, 1400))
	for slow.Stats().Full < 10 {
		a.send([6]byte{2, 5: 9}, text)
	}
	b.take()
	a.send(b.addr, "is it quick?")
	until(t, "the others talk", func() bool { return len(b.take()) == 1 })
	_ = c.Close()
	c = plug(t, slow)
	until(t, "the next machine hears", func() bool {
		a.send(broadcast, "hello")
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ := c.Read(make([]byte, 18))
		return n == 18
	})
}

func TestPcap(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "all.pcap")
	l := newLAN(t, vnet.Config{CaptureBytes: 40, CaptureFile: file})
	a := attach(t, l, "a", 1)
	for _, text := range []string{"first", "second", "third"} {
		a.send(broadcast, text)
	}
	ring := filepath.Join(dir, "ring.pcap")
	if err := l.SavePcap(ring); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	const head, each = 24, 16 + 14
	for path, want := range map[string][]string{file: {"first", "second", "third"}, ring: {"second", "third"}} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, []byte{0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0}) {
			t.Errorf("%s begins with %x", path, b[:8])
		}
		b = b[head:]
		for _, text := range want {
			if got := string(b[each : each+len(text)]); got != text {
				t.Fatalf("%s: got %q, want %q", path, got, text)
			}
			b = b[each+len(text):]
		}
		if len(b) != 0 {
			t.Errorf("%s: %d bytes more", path, len(b))
		}
	}
	if _, err := vnet.New(vnet.Config{CaptureFile: filepath.Join(dir, "no", "such")}); err == nil {
		t.Error("a capture in a directory that is not there")
	}
}
