package webapp

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(ConfigRate{}, ConfigRate{Burst: 3, PerHour: 60}, 10)
		for n := range 3 {
			if ok, _ := l.allow("a"); !ok {
				t.Errorf("event %d of a burst of 3 refused", n+1)
			}
		}
		ok, wait := l.allow("a")
		if ok || wait != time.Minute {
			t.Errorf("event 4: %v, wait %v; want one minute", ok, wait)
		}
		if ok, _ := l.allow("b"); !ok {
			t.Error("another key refused")
		}
		time.Sleep(time.Minute)
		if ok, _ := l.allow("a"); !ok {
			t.Error("refused after a minute")
		}
		if ok, _ := l.allow("a"); ok {
			t.Error("two events in one minute")
		}
		time.Sleep(24 * time.Hour) // No more than the burst is saved up.
		allowed := 0
		for range 10 {
			if ok, _ := l.allow("a"); ok {
				allowed++
			}
		}
		if allowed != 3 {
			t.Errorf("%d events after a day, want 3", allowed)
		}
	})
}

// The limiter forgets the key used longest ago, never more.
func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(ConfigRate{Burst: 1, PerHour: 1}, ConfigRate{}, 3)
	for _, key := range []string{"a", "b", "c", "a", "d"} {
		l.allow(key)
	}
	if len(l.byKey) != 3 || l.order.Len() != 3 {
		t.Errorf("%d keys, %d in order; want 3", len(l.byKey), l.order.Len())
	}
	for key, want := range map[string]bool{"a": false, "c": false, "d": false} {
		if ok, _ := l.allow(key); ok != want {
			t.Errorf("%s: allowed %v, want %v", key, ok, want)
		}
	}
	if ok, _ := l.allow("b"); !ok {
		t.Error("b was not forgotten")
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77:1234":              "192.0.2.0/24",
		"[::ffff:192.0.2.77]:1234":     "192.0.2.0/24",
		"[2001:db8:1:2:3::4]:1234":     "2001:db8:1::/48",
		"[fe80::1%eth0]:1234":          "fe80::/48",
		"@":                            "",
		"[2001:db8:1:ffff:3::4]:54321": "2001:db8:1::/48",
	} {
		if got := network(remote(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

func TestMonitorMayFrom(t *testing.T) {
	list, err := prefixes([]string{"192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{monitorIPs: list}
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "192.0.2.7:1": true, "[::ffff:192.0.2.7]:1": true,
		"[2001:db8::9]:1": true, "192.0.2.8:1": false, "[2001:db9::9]:1": false, "": false,
	} {
		if got := s.monitorMayFrom(addr); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if _, err := prefixes([]string{"example.org"}); err == nil {
		t.Error("a name passes for an address")
	}
}
