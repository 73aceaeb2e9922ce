package gateway

import (
	"crypto/rand"
	"math/big"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

// quarantine is how long an address rests before somebody else gets it, so
// that late packets do not reach them.
const quarantine = 10 * time.Minute

// An owner stands for a certificate: see book.of.
type owner [32]byte

// A row is one lease. It has no time of connect and no address outside the
// tunnel.
type row struct {
	id    lease.ID
	key   lease.Key
	psk   lease.Key
	owner owner
	plan  lease.Plan
	ipv6  bool
	place int // Counts the addresses of the pool.
	end   time.Time

	set bool // The data plane has it as it is here.
}

// A bid is what a client asks for and may have.
type bid struct {
	req   lease.Request
	owner owner
	plan  lease.Plan
	until time.Time // End of the certificate.
}

// A table is all leases and the places that are free. It decides; nothing here
// touches clock, files or the data plane. It is not safe for concurrent use.
type table struct {
	v4, v6 netip.Prefix // v6 may be none.
	life   time.Duration
	most   int // Leases of one owner.

	rows   map[lease.ID]*row
	keys   map[lease.Key]*row
	counts map[owner]int
	free   []freePlace  // The first is the one that has been free longest.
	rests  map[int]rest // Places in quarantine.
	size   int          // Places in all.
}

func newTable(cfg Config, life time.Duration) *table {
	t := &table{
		v4: cfg.IPv4, v6: cfg.IPv6, life: life, most: cfg.Leases,
		rows: map[lease.ID]*row{}, keys: map[lease.Key]*row{}, counts: map[owner]int{}, rests: map[int]rest{},
	}
	// The network, the gateway and the broadcast address are nobody's. A random
	// order tells nobody how many came before.
	last := min(1<<(32-cfg.IPv4.Bits())-2, maxPlaces)
	for p := 2; p <= last; p++ {
		t.free = append(t.free, freePlace{place: p})
	}
	mathrand.Shuffle(len(t.free), func(i, j int) { t.free[i], t.free[j] = t.free[j], t.free[i] })
	t.size = len(t.free)
	return t
}

// grant makes a lease; the table stays as it is but for the place.
func (t *table) grant(b bid, now time.Time) (*row, error) {
	if t.keys[b.req.WGPublicKey] != nil {
		return nil, errKeyTaken()
	}
	if t.counts[b.owner] >= t.most {
		return nil, t.errTooMany()
	}
	at := t.own(b.owner, now)
	if at < 0 && (len(t.free) == 0 || t.free[0].from.After(now) || t.rests[t.free[0].place].flows) {
		return nil, problem.Unavailable.Errorf("this gateway is full: choose another one, or try again in %d minutes", quarantine/time.Minute)
	}
	at = max(at, 0)
	id := random()
	r := &row{id: lease.ID(id[:16]), key: b.req.WGPublicKey, place: t.free[at].place}
	delete(t.rests, r.place)
	t.free = slices.Delete(t.free, at, at+1)
	t.fill(r, b, now)
	return r, nil
}

func errKeyTaken() error { return problem.Exist.Errorf("this key has a lease: make a new key pair") }

func (t *table) errTooMany() error {
	return problem.Exist.Errorf("this certificate has %d leases: end one, or fetch another certificate", t.most)
}

// held returns the lease that b's key has from the same owner: a client that
// lost an answer asks again.
func (t *table) held(b bid, now time.Time) *row {
	r := t.keys[b.req.WGPublicKey]
	if r == nil || r.owner != b.owner || !now.Before(r.end) {
		return nil
	}
	return r
}

// renew returns what the lease becomes by b; the table stays as it is.
func (t *table) renew(id lease.ID, b bid, now time.Time) (r, old *row, err error) {
	old = t.rows[id]
	if old == nil || !now.Before(old.end) {
		return nil, nil, problem.NotExist.Errorf("there is no such lease: ask for a new one")
	}
	if other := t.keys[b.req.WGPublicKey]; other != nil && other != old {
		return nil, nil, errKeyTaken()
	}
	// A lease that comes from another owner brings its place along.
	if b.owner != old.owner && t.counts[b.owner]+t.resting(b.owner, now) >= t.most {
		return nil, nil, t.errTooMany()
	}
	r = &row{id: id, key: b.req.WGPublicKey, place: old.place}
	t.fill(r, b, now)
	return r, old, nil
}

// fill sets what every grant and renewal sets anew.
func (t *table) fill(r *row, b bid, now time.Time) {
	r.psk, r.owner, r.plan = lease.Key(random()), b.owner, b.plan
	r.ipv6 = b.req.Want.IPv6 && t.v6.IsValid()
	r.end = now.Add(t.life)
	if b.until.Before(r.end) {
		r.end = b.until
	}
	r.end = r.end.UTC().Truncate(time.Second)
}

// put adds r to the table, in place of the lease with its ID if there is one.
func (t *table) put(r *row) {
	t.take(t.rows[r.id])
	t.rows[r.id], t.keys[r.key] = r, r
	t.counts[r.owner]++
}

// take takes r out of the table and leaves its place alone.
func (t *table) take(r *row) {
	if r == nil {
		return
	}
	delete(t.rows, r.id)
	delete(t.keys, r.key)
	if t.counts[r.owner]--; t.counts[r.owner] <= 0 {
		delete(t.counts, r.owner)
	}
}

// drop ends r; its place is free after the quarantine.
func (t *table) drop(r *row, now time.Time) {
	t.take(r)
	t.free = append(t.free, freePlace{r.place, now.Add(quarantine)})
	t.rests[r.place] = rest{r.owner, now.Add(quarantine), true}
}

// restore makes the table what was kept: rows, and places in quarantine.
func (t *table) restore(rows []*row, resting []freePlace) {
	gone := map[int]bool{}
	for _, r := range rows {
		if t.rows[r.id] != nil || t.keys[r.key] != nil || r.place > t.size+1 {
			continue // Damaged.
		}
		t.put(r)
		gone[r.place] = true
	}
	resting = slices.DeleteFunc(resting, func(f freePlace) bool { return gone[f.place] || f.place > t.size+1 })
	for _, f := range resting {
		gone[f.place] = true
		t.rests[f.place] = rest{until: f.from, flows: true}
	}
	t.free = slices.DeleteFunc(t.free, func(f freePlace) bool { return gone[f.place] })
	slices.SortFunc(resting, func(a, b freePlace) int { return a.from.Compare(b.from) })
	t.free = append(t.free, resting...)
}

// over returns the leases that have ended.
func (t *table) over(now time.Time) (list []*row) {
	for _, r := range t.rows {
		if !now.Before(r.end) {
			list = append(list, r)
		}
	}
	return list
}

// limited returns the addresses of all clients with a limited plan.
func (t *table) limited() (addrs []netip.Addr) {
	for _, r := range t.rows {
		if r.plan == lease.Limited {
			addrs = append(addrs, t.addresses(r)...)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// addresses returns those of r in the tunnel.
func (t *table) addresses(r *row) []netip.Addr {
	list := t.both(r.place)
	if !r.ipv6 {
		list = list[:1]
	}
	return list
}

// both returns all addresses of a place.
func (t *table) both(place int) []netip.Addr {
	list := []netip.Addr{nth(t.v4.Addr(), place)}
	if t.v6.IsValid() {
		list = append(list, nth(t.v6.Addr(), place))
	}
	return list
}

// prefixes is addresses as WireGuard's allowed IPs.
func (t *table) prefixes(r *row) (list []netip.Prefix) {
	for _, a := range t.addresses(r) {
		list = append(list, netip.PrefixFrom(a, a.BitLen()))
	}
	return list
}

func (t *table) peer(r *row) Peer {
	return Peer{PublicKey: r.key, PSK: r.psk, Addresses: t.prefixes(r)}
}

// nth returns the address that is n after a.
func nth(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	sum := new(big.Int).Add(new(big.Int).SetBytes(b), big.NewInt(int64(n)))
	got, _ := netip.AddrFromSlice(sum.FillBytes(b))
	return got
}

func random() (b [32]byte) {
	rand.Read(b[:]) // Never fails.
	return b
}
