package gateway

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/gateway/gatewaytest"
)

const (
	offered  = 4 * rate // Bytes a second that a sender tries.
	measured = 5 * time.Second
)

// limited floods both ways between the world and two users at the same time.
func limited(t *testing.T, slow, free *session) {
	t.Helper()
	var flows [4]gatewaytest.Flow
	var g errgroup.Group
	for i, s := range []*session{slow, free} {
		up, down, err := s.ends()
		check(t, err)
		g.Go(func() (err error) { flows[2*i], err = gatewaytest.Flood(up, down, offered, measured); return err })
		back, forth, err := s.ends()
		check(t, err)
		g.Go(func() (err error) { flows[2*i+1], err = gatewaytest.Flood(forth, back, offered, measured); return err })
	}
	check(t, g.Wait())
	for i, name := range []string{"limited, up", "limited, down", "unlimited, up", "unlimited, down"} {
		f := flows[i]
		ratio, part := f.Got/rate, f.Got/f.Sent
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
	s.w.t.Cleanup(func() { _ = at.Close() })
	user, far, err = s.Ends(at, netip.MustParseAddrPort(at.LocalAddr().String()))
	if err == nil {
		s.w.t.Cleanup(func() { _ = user.Close() })
	}
	return user, far, err
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
