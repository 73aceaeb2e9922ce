package smtpline_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leap.example/services/protocol/smtpline"
)

// TestMeterModel compares a Meter with its definition: an event is allowed if
// a bucket of Burst tokens, which gains one in each Every, has a whole one.
func TestMeterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := smtpline.Rate{Every: time.Second, Burst: rapid.IntRange(0, 5).Draw(t, "burst")}
		m := smtpline.NewMeter[string](rate)
		now := time.Unix(1e9, 0)
		tokens := map[string]time.Duration{} // In time, less than full.
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pause := time.Duration(rapid.IntRange(0, 1500).Draw(t, "pause")) * time.Millisecond
			now = now.Add(pause)
			for k := range tokens {
				tokens[k] = max(0, tokens[k]-pause)
			}
			k := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			want := tokens[k]+rate.Every <= rate.Every*time.Duration(rate.Burst)
			if spent := m.Spent(k, now); spent == want {
				t.Fatalf("Spent(%s) = %v, want %v", k, spent, !want)
			}
			if got := m.Take(k, now); got != want {
				t.Fatalf("Take(%s) = %v, want %v", k, got, want)
			}
			if want {
				tokens[k] += rate.Every
			}
		}
	})
}

func TestMeterForgets(t *testing.T) {
	m := smtpline.NewMeter[int](smtpline.Rate{Every: time.Second, Burst: 1})
	now := time.Unix(1e9, 0)
	for i := range 10_000 {
		now = now.Add(time.Millisecond)
		if !m.Take(i, now) {
			t.Fatalf("first event of %d refused", i)
		}
	}
	if m.Take(9_999, now) {
		t.Error("second event of the last key allowed at once")
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":        "192.0.2.1/32",
		"::ffff:192.0.2.1": "192.0.2.1/32",
		"2001:db8:1:2:3::": "2001:db8:1:2::/64",
		"fe80::1%eth0":     "fe80::/64",
	} {
		if got := smtpline.Network(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Network(%s) = %s, want %s", in, got, want)
		}
	}
	if smtpline.Network(netip.Addr{}).IsValid() {
		t.Error("the invalid address has a network")
	}
}
