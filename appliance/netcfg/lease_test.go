package netcfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// A server that answers, or not, by the second since the start.
type script struct {
	start   time.Time
	answers func(second int, held bool) (lease, error)
	asked   []int
	held    []bool
}

func (s *script) ask(_ context.Context, _ string, held *nclient4.Lease) (*nclient4.Lease, lease, error) {
	second := int(time.Since(s.start).Seconds())
	s.asked, s.held = append(s.asked, second), append(s.held, held != nil)
	l, err := s.answers(second, held != nil)
	return &nclient4.Lease{}, l, err
}

// TestLeaseInTime lives through hours of a lease.
func TestLeaseInTime(t *testing.T) {
	silent := errors.New("nobody answers")
	ok := func() (lease, error) {
		return lease{prefix: netip.MustParsePrefix("192.0.2.9/24"), renew: time.Now().Add(30 * time.Minute), until: time.Now().Add(time.Hour)}, nil
	}
	synctest.Test(t, func(t *testing.T) {
		f, n := newFake(t)
		n.cfg.Log = slog.New(slog.DiscardHandler)
		s := &script{start: time.Now(), answers: func(second int, held bool) (lease, error) {
			switch {
			case second < 600, 4000 < second && second < 9000: // Off at first, and later for longer than a lease.
				return lease{}, silent
			case second > 12000 && held:
				return lease{}, &nclient4.ErrNak{Nak: &dhcpv4.DHCPv4{}, Offer: &dhcpv4.DHCPv4{}}
			}
			return ok()
		}}
		n.ask = s.ask
		if _, err := n.Apply(t.Context(), leased); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		for _, at := range []struct {
			second int
			has    bool
		}{{599, false}, {700, true}, {3999, true}, {5900, true}, {6500, false}, {9100, true}, {13000, true}} {
			time.Sleep(time.Until(s.start.Add(time.Duration(at.second) * time.Second)))
			synctest.Wait()
			f.mustHave(t, n, at.second, at.has)
		}
		if first := len(s.asked[:slices.IndexFunc(s.asked, func(second int) bool { return second >= 600 })]); first < 8 || first > 25 {
			t.Errorf("in the first ten minutes it asked %d times: %v", first, s.asked)
		}
		for i := 1; i < len(s.asked); i++ {
			if gap := s.asked[i] - s.asked[i-1]; gap > 31*60 {
				t.Errorf("it did not ask for %d s: %v", gap, s.asked)
			}
		}
		if !slices.Contains(s.held, true) {
			t.Error("it never renewed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (f *fake) mustHave(t *testing.T, n *Net, second int, has bool) {
	t.Helper()
	n.mu.Lock()
	addresses := len(f.is.links[0].addresses)
	n.mu.Unlock()
	if (addresses == 1) != has {
		t.Errorf("after %d s it has %d addresses", second, addresses)
	}
	if trouble := n.Trouble(); !has && len(trouble) != 1 {
		t.Errorf("after %d s trouble is %v", second, trouble)
	}
}

func ack(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 9)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
	}, mods...)...)
	if err != nil {
		panic(err)
	}
	return m
}

func TestParseLease(t *testing.T) {
	now := time.Unix(1e9, 0)
	bytes := func(code uint8, b ...byte) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), b))
	}
	for _, tt := range []struct {
		name string
		ack  *dhcpv4.DHCPv4
		want string // The error, or the routes.
		l    lease
	}{
		{"plain", ack(), "[]", lease{renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
		{"no address", ack(dhcpv4.WithYourIP(net.IPv4zero)), "the server grants no usable address", lease{}},
		{"broadcast address", ack(dhcpv4.WithYourIP(net.IPv4bcast)), "the server grants no usable address", lease{}},
		{"no netmask", ack(bytes(1, 0, 0, 0, 0)), "the server names no usable netmask", lease{}},
		{"netmask with holes", ack(bytes(1, 255, 0, 255, 0)), "the server names no usable netmask", lease{}},
		{"no time", ack(bytes(51, 0, 0, 0, 0)), "the server names no time of lease", lease{}},
		{"without end", ack(bytes(51, 255, 255, 255, 255)), "[]", lease{renew: now.Add(24 * time.Hour), until: now.Add(forEver)}},
		{"too short", ack(bytes(51, 0, 0, 0, 1)), "[]", lease{renew: now.Add(2500 * time.Millisecond), until: now.Add(5 * time.Second)}},
		{"renewal after the end", ack(bytes(58, 0, 1, 0, 0)), "[]", lease{renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
		{"renewal early", ack(bytes(58, 0, 0, 0, 60)), "[]", lease{renew: now.Add(time.Minute), until: now.Add(time.Hour)}},
		{"two routers", ack(dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1), net.IPv4(192, 0, 2, 2))), "[default via 192.0.2.1 metric 0]", lease{renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
		{"routes go before routers", ack(dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), bytes(121, 32, 10, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 1)), "[10.0.0.1/32 metric 0 default via 10.0.0.1 metric 0]", lease{renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
		{"small MTU", ack(bytes(26, 2, 64)), "[]", lease{renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
		{"MTU", ack(bytes(26, 5, 180)), "[]", lease{mtu: 1460, renew: now.Add(30 * time.Minute), until: now.Add(time.Hour)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLease(tt.ack, now)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprint(l.routes)
			}
			if got != tt.want || l.renew != tt.l.renew || l.until != tt.l.until || l.mtu != tt.l.mtu {
				t.Errorf("got %s, %+v, want %s, %+v", got, l, tt.want, tt.l)
			}
		})
	}
}

// FuzzLease holds that whatever a server sends, a lease is within its limits and
// can be planned.
func FuzzLease(f *testing.F) {
	f.Add(ack().ToBytes())
	f.Add(ack(dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53))).ToBytes())
	f.Add(ack(dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(121), []byte{32, 10, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 1}))).ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := dhcpv4.FromBytes(packet)
		if err != nil {
			return
		}
		now := time.Now()
		l, err := parseLease(m, now)
		if err != nil {
			return
		}
		if !l.prefix.IsValid() || !l.prefix.Addr().Is4() || l.renew.Before(now) || !l.renew.Before(l.until) || l.until.After(now.Add(forEver)) ||
			len(l.routes) > mostRoutes || len(l.nameservers) > mostServers || len(l.timeServers) > mostServers || l.mtu != 0 && l.mtu < 1280 {
			t.Fatalf("out of its limits: %+v", l)
		}
		k, n := newFake(t)
		n.leases["eth0"] = tenancy{asked: true, lease: l}
		if done, err := n.Apply(t.Context(), leased); err != nil {
			t.Fatalf("%+v: did %v: %v\n%v", l, done, err, k.is)
		}
	})
}
