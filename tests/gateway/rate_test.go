package gateway

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	datagram = 1200
	offered  = 4 * rate // Bytes a second that a sender tries.
	settle   = 1500 * time.Millisecond
	measured = 5 * time.Second
)

// A flow is datagrams from one end to another, for as long as is measured.
type flow struct {
	sent, got int // Bytes, of those that were sent while it was measured.
}

// limited floods both ways between the world and two users at the same time.
func limited(t *testing.T, slow, free *session) {
	t.Helper()
	var flows [4]flow
	var g errgroup.Group
	for i, s := range []*session{slow, free} {
		up, down, err := s.ends()
		check(t, err)
		g.Go(func() (err error) { flows[2*i], err = flood(up, down); return err })
		back, forth, err := s.ends()
		check(t, err)
		g.Go(func() (err error) { flows[2*i+1], err = flood(forth, back); return err })
	}
	check(t, g.Wait())
	for i, name := range []string{"limited, up", "limited, down", "unlimited, up", "unlimited, down"} {
		f := flows[i]
		ratio, part := float64(f.got)/measured.Seconds()/rate, float64(f.got)/float64(f.sent)
		t.Logf("           %s: %.2f of the rate, %.2f of what was sent", name, ratio, part)
		switch {
		case i < 2 && (ratio < 0.5 || ratio > 1.05): // Less than 0.7 is a busy machine's.
			t.Errorf("%s: %.2f of the rate", name, ratio)
		case i >= 2 && part < 0.95:
			t.Errorf("%s: %.2f of what was sent arrives", name, part)
		}
	}
}

// ends are a user's end of a new way to the world, and the world's.
func (s *session) ends() (user, far net.Conn, err error) {
	at, err := s.w.place.ListenUDP(netip.AddrPortFrom(place, 0))
	if err != nil {
		return nil, nil, err
	}
	user, err = s.Net.DialUDPAddrPort(netip.AddrPort{}, netip.MustParseAddrPort(at.LocalAddr().String()))
	if err != nil {
		return nil, nil, err
	}
	s.w.t.Cleanup(func() { _ = user.Close(); _ = at.Close() })
	if _, err := user.Write([]byte("hello")); err != nil {
		return nil, nil, err
	}
	_ = at.SetReadDeadline(time.Now().Add(time.Minute))
	_, from, err := at.ReadFrom(make([]byte, datagram))
	return user, towards{at, from}, err
}

// towards is a socket with one peer.
type towards struct {
	net.PacketConn
	peer net.Addr
}

func (c towards) Read(b []byte) (int, error)  { n, _, err := c.ReadFrom(b); return n, err }
func (c towards) Write(b []byte) (int, error) { return c.WriteTo(b, c.peer) }
func (c towards) RemoteAddr() net.Addr        { return c.peer }

// flood sends what is offered, and counts what arrives of what it sent after a
// while: before, a second's worth comes at once.
func flood(from, to net.Conn) (f flow, err error) {
	received := make(chan int)
	go func() {
		total, b := 0, make([]byte, 2*datagram)
		for {
			_ = to.SetReadDeadline(time.Now().Add(3 * time.Second))
			n, err := to.Read(b)
			if err != nil {
				received <- total
				return
			}
			if n == datagram && b[0] == 1 {
				total += n
			}
		}
	}()
	defer func() { f.got = <-received }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	begin, sent := time.Now(), 0
	for time.Since(begin) < settle+measured {
		<-tick.C
		b := make([]byte, datagram)
		late := time.Since(begin) > settle
		if late {
			b[0] = 1
		}
		for ; float64(sent) < time.Since(begin).Seconds()*offered; sent += datagram {
			if _, err := from.Write(b); err != nil {
				return f, err
			}
			if late {
				f.sent += datagram
			}
		}
	}
	return f, nil
}

// pinged pings the world until nothing has come for a while after end, and tells
// how long after end the last answer came.
func (s *session) pinged(end time.Time) <-chan time.Duration {
	s.w.t.Helper()
	c, err := s.Net.DialUDPAddrPort(netip.AddrPort{}, netip.AddrPortFrom(place, 7))
	check(s.w.t, err)
	s.w.t.Cleanup(func() { _ = c.Close() })
	result := make(chan time.Duration, 1)
	go func() {
		last, b := time.Time{}, make([]byte, 100)
		for over := end; time.Now().Before(over.Add(3*time.Second)) && time.Now().Before(end.Add(20*time.Second)); {
			if _, err := c.Write([]byte("ping")); err != nil {
				break
			}
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := c.Read(b); err == nil {
				last = time.Now()
				if last.After(end) {
					over = last
				}
			}
		}
		result <- last.Sub(end)
	}()
	return result
}
