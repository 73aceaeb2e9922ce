package gateway

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// TestTableModel lets clients come, renew and go at random, in a pool that is
// too small, and holds the table to its promises after each step.
func TestTableModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tab := newTable(Config{IPv4: netip.MustParsePrefix("10.0.0.0/28"), IPv6: netip.MustParsePrefix("fd00::/64"), Leases: 3}, time.Hour)
	now := time.Unix(1e9, 0)
	freed := map[int]rest{} // By place; until is when it was freed.
	var ids []lease.ID
	granted := 0
	for step := range 20_000 {
		now = now.Add(time.Duration(rng.IntN(60)) * time.Second)
		b := bid{
			req:   lease.Request{WGPublicKey: lease.Key{1: byte(rng.IntN(40)), 2: 1}, Want: lease.Want{IPv6: rng.IntN(2) == 0}},
			owner: owner{byte(rng.IntN(6))}, plan: []lease.Plan{lease.Limited, lease.Unlimited}[rng.IntN(2)],
			until: now.Add(time.Duration(rng.IntN(7200)) * time.Second),
		}
		for _, r := range tab.over(now) {
			freed[r.place] = rest{r.owner, now, true}
			tab.drop(r, now)
		}
		tab.wake(now)
		if rng.IntN(3) > 0 {
			tab.forgot(tab.flowing())
		}
		flowing := tab.flowing()
		switch rng.IntN(4) {
		case 0, 1:
			r, err := tab.grant(b, now)
			if err != nil {
				if k := problem.KindOf(err); k != problem.Exist && k != problem.Unavailable {
					t.Fatalf("step %d: %v", step, err)
				}
				break
			}
			if f, ok := freed[r.place]; ok && now.Sub(f.until) < quarantine && f.owner != r.owner {
				t.Fatalf("step %d: place %d is somebody else's after %v", step, r.place, now.Sub(f.until))
			}
			if flowing[r.place].flows && flowing[r.place].owner != r.owner {
				t.Fatalf("step %d: place %d is somebody else's before its flows are forgotten", step, r.place)
			}
			tab.put(r)
			ids = append(ids, r.id)
			granted++
		case 2:
			if len(ids) == 0 {
				break
			}
			id := ids[rng.IntN(len(ids))]
			r, old, err := tab.renew(id, b, now)
			if err != nil {
				if k := problem.KindOf(err); k != problem.Exist && k != problem.NotExist {
					t.Fatalf("step %d: %v", step, err)
				}
				break
			}
			if r.psk == old.psk || r.place != old.place || r.id != old.id {
				t.Fatalf("step %d: renewed to another lease", step)
			}
			tab.put(r)
		case 3:
			if len(ids) > 0 {
				if r := tab.rows[ids[rng.IntN(len(ids))]]; r != nil {
					freed[r.place] = rest{r.owner, now, true}
					tab.drop(r, now)
				}
			}
		}
		check(t, tab, step)
	}
	if granted < 100 {
		t.Errorf("only %d leases", granted)
	}
}

// check holds the table to what is always true.
func check(t *testing.T, tab *table, step int) {
	t.Helper()
	places, owners := map[int]bool{}, map[owner]int{}
	for id, r := range tab.rows {
		if places[r.place] || r.place < 2 || r.place > 14 {
			t.Fatalf("step %d: place %d is taken twice, or nobody's", step, r.place)
		}
		if r.id != id || tab.keys[r.key] != r {
			t.Fatalf("step %d: the table does not know a lease by its id and key", step)
		}
		places[r.place] = true
		owners[r.owner]++
	}
	rests := map[owner]int{}
	for place, r := range tab.rests {
		if places[place] {
			t.Fatalf("step %d: place %d rests and is taken", step, place)
		}
		rests[r.owner]++
	}
	for o, n := range rests {
		if n+owners[o] > 3 {
			t.Fatalf("step %d: an owner has %d leases and %d places that rest", step, owners[o], n)
		}
	}
	for o, n := range owners {
		if n > 3 || tab.counts[o] != n {
			t.Fatalf("step %d: an owner has %d leases, counted %d", step, n, tab.counts[o])
		}
	}
	for _, f := range tab.free {
		if places[f.place] {
			t.Fatalf("step %d: place %d is free and taken", step, f.place)
		}
		places[f.place] = true
	}
	if len(tab.keys) != len(tab.rows) || len(owners) != len(tab.counts) || len(places) != tab.size {
		t.Fatalf("step %d: %d keys, %d leases, %d of %d places", step, len(tab.keys), len(tab.rows), len(places), tab.size)
	}
}

// TestOneOwner: who lets leases come and go for ever keeps nobody out.
func TestOneOwner(t *testing.T) {
	tab := newTable(Config{IPv4: netip.MustParsePrefix("10.0.0.0/28"), Leases: 3}, time.Hour)
	now := time.Unix(1e9, 0)
	next := byte(0)
	get := func(who byte) (*row, error) {
		next++
		r, err := tab.grant(bid{req: lease.Request{WGPublicKey: lease.Key{next}}, owner: owner{who}, until: now.Add(time.Hour)}, now)
		if err == nil {
			tab.put(r)
		}
		return r, err
	}
	for range 100 {
		r, err := get(1)
		if err != nil {
			t.Fatal(err)
		}
		tab.drop(r, now)
	}
	for who := range byte(12) {
		if _, err := get(2 + who); err != nil {
			t.Fatalf("the pool has 13 places, and client %d gets none: %v", who, err)
		}
	}
	// Nor does who takes over what another certificate has got.
	a, err := get(1)
	if err != nil {
		t.Fatal(err)
	}
	for place := range 3 {
		tab.rests[100+place] = rest{owner{100}, now.Add(quarantine), false}
	}
	if _, _, err := tab.renew(a.id, bid{req: lease.Request{WGPublicKey: a.key}, owner: owner{100}, until: now.Add(time.Hour)}, now); !errors.Is(err, problem.Exist) {
		t.Errorf("a fourth place by renewal: %v", err)
	}
}

// TestAddresses: places are the same number in both families.
func TestAddresses(t *testing.T) {
	tab := newTable(Config{IPv4: netip.MustParsePrefix("10.64.0.0/16"), IPv6: netip.MustParsePrefix("fd00:64::/64"), Leases: 3}, time.Hour)
	got := tab.addresses(&row{place: 0x309, ipv6: true})
	if got[0] != netip.MustParseAddr("10.64.3.9") || got[1] != netip.MustParseAddr("fd00:64::309") {
		t.Errorf("got %v", got)
	}
}

// TestLimiter: one network does not use up another's share, and a new window
// knows nothing.
func TestLimiter(t *testing.T) {
	l := newLimiter(60) // Ten in a window.
	now := time.Now()
	a, b := sourceOf("192.0.2.1:1"), sourceOf("[2001:db8:0:1ff::1]:1")
	for i := range 12 {
		if got := l.allow(a, now); got != (i < 10) {
			t.Errorf("request %d: %v", i, got)
		}
	}
	if !l.allow(b, now) || b != sourceOf("[2001:db8:0:100::2]:9") {
		t.Error("another network is refused, or counted by more than /56")
	}
	if !l.allow(a, now.Add(window)) || len(l.seen) != 1 {
		t.Error("the next window remembers")
	}
}

// FuzzBook reads a book. What is read is written so that it reads the same, and
// a table takes it.
func FuzzBook(f *testing.F) {
	v4, v6 := netip.MustParsePrefix("10.64.0.0/24"), netip.Prefix{}
	good := head([32]byte{1}, v4, v6)
	good = append(good, make([]byte, 2*recordSize)...)
	good = append(good, record(&row{id: lease.ID{1}, key: lease.Key{2}, psk: lease.Key{3}, owner: owner{4}, plan: lease.Limited, end: time.Unix(1e9, 0)})...)
	good = append(good, restRecord(freePlace{from: time.Unix(1e9, 0)})...)
	f.Add(good)
	f.Add(good[:headSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		again, ok := rewrite(data, v4, v6)
		if !ok {
			return
		}
		twice, ok := rewrite(again, v4, v6)
		if !ok || string(twice) != string(again) {
			t.Error("not read the same")
		}
		rows, resting := readRecords(data[headSize:])
		tab := newTable(Config{IPv4: v4, Leases: 3}, time.Hour)
		tab.restore(rows, resting)
		for _, r := range tab.rows {
			tab.addresses(r)
		}
		if _, err := tab.grant(bid{until: time.Now()}, time.Now()); err != nil && !errors.Is(err, problem.Unavailable) && !errors.Is(err, problem.Exist) {
			t.Error(err)
		}
	})
}

// rewrite reads a book and writes down again what it has.
func rewrite(data []byte, v4, v6 netip.Prefix) (again []byte, ok bool) {
	boot, ok := readHead(data, v4, v6)
	if !ok {
		return nil, false
	}
	again = head(boot, v4, v6)
	rows, resting := readRecords(data[headSize:])
	put := func(place int, rec []byte) {
		for len(again) < headSize+(place+1)*recordSize {
			again = append(again, 0)
		}
		copy(again[headSize+place*recordSize:], rec)
	}
	for _, r := range rows {
		put(r.place, record(r))
	}
	for _, f := range resting {
		put(f.place, restRecord(f))
	}
	return again, true
}
