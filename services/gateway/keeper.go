package gateway

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

const (
	tickTime  = 500 * time.Millisecond // Between looks for leases that ended.
	compare   = 15 * time.Second       // Between comparisons with the data plane.
	idleTime  = 180 * time.Second      // Without a handshake; then WireGuard's session is over, and what it remembers is forgotten.
	planeTime = 5 * time.Second        // For one call of the data plane.
)

// grant gives a client a place. Its errors have a kind.
func (s *Server) grant(ctx context.Context, b bid) (row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.restored {
		return row{}, problem.Unavailable.Errorf("the gateway is starting: try again in a few seconds")
	}
	now := s.now()
	if old := s.table.held(b, now); old != nil {
		return s.replace(ctx, old.id, b)
	}
	r, err := s.table.grant(b, now)
	if err != nil {
		return row{}, err
	}
	s.table.put(r)
	if err := s.establish(ctx, r); err != nil {
		r.end = now // Whatever part of it there is goes.
		return row{}, s.unavailable(errors.Join(err, s.sweep(ctx, now)))
	}
	return *r, nil
}

// renew gives the lease with an ID more time, a new PSK and perhaps a new key.
func (s *Server) renew(ctx context.Context, id lease.ID, b bid) (row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replace(ctx, id, b)
}

func (s *Server) replace(ctx context.Context, id lease.ID, b bid) (row, error) {
	r, old, err := s.table.renew(id, b, s.now())
	if err != nil {
		return row{}, err
	}
	ctx, cancel := call(ctx)
	defer cancel()
	if old.key != r.key || old.ipv6 && !r.ipv6 {
		if err := s.plane.Peers.Remove(ctx, old.key); err != nil {
			return row{}, s.unavailable(err)
		}
		old.set = false
	}
	s.table.put(r)
	if err := s.establish(ctx, r); err != nil {
		old.set = false
		s.table.put(old) // The next tick sets it again.
		return row{}, s.unavailable(errors.Join(err, s.plane.Peers.Remove(ctx, r.key), s.book.keep(old)))
	}
	return *r, nil
}

// end ends the lease with an ID at once; its flows end with the next tick.
func (s *Server) end(ctx context.Context, id lease.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	r := s.table.rows[id]
	if r == nil || !now.Before(r.end) {
		return problem.NotExist.Errorf("there is no such lease")
	}
	if err := s.remove(ctx, now, r); err != nil {
		return s.unavailable(err)
	}
	return nil
}

// unavailable logs what kept the gateway from what a client wanted, and returns
// what the client is told. A gateway that is merely full logs nothing: a line
// would tell when somebody came.
func (s *Server) unavailable(err error) error {
	s.log.Warn("a request failed", "err", err)
	return problem.Unavailable.Errorf("the gateway cannot do that now: try again, or choose another one")
}

// call bounds one call of the data plane. It goes on when the client that
// caused it has gone.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), planeTime)
}

// establish writes r into the book and makes it work.
func (s *Server) establish(ctx context.Context, r *row) error {
	if err := s.book.keep(r); err != nil {
		return err
	}
	ctx, cancel := call(ctx)
	defer cancel()
	if err := s.limit(ctx, r.place, r); err != nil {
		return err
	}
	if err := s.plane.Peers.Set(ctx, s.table.peer(r)); err != nil {
		return err
	}
	r.set = true
	return nil
}

// sweep ends what is over at now.
func (s *Server) sweep(ctx context.Context, now time.Time) error {
	s.table.wake(now)
	return s.remove(ctx, now, s.table.over(now)...)
}

// remove ends leases: the peers go, and their addresses rest. Their flows are for
// forget.
func (s *Server) remove(ctx context.Context, now time.Time, rows ...*row) error {
	if len(rows) == 0 {
		return nil
	}
	ctx, cancel := call(ctx)
	defer cancel()
	var keys []lease.Key
	for _, r := range rows {
		keys = append(keys, r.key)
	}
	if err := s.plane.Peers.Remove(ctx, keys...); err != nil {
		return err
	}
	var err error
	for _, r := range rows {
		s.table.drop(r, now)
		err = errors.Join(err, s.book.rest(freePlace{r.place, now.Add(quarantine)}), s.limit(ctx, r.place, nil))
	}
	return err
}

// forget ends the flows of all places whose leases have ended since the last
// time, at once: the kernel reads all that it has for it, so nobody waits.
func (s *Server) forget(ctx context.Context) error {
	s.mu.Lock()
	flowing := s.table.flowing()
	var addrs []netip.Addr
	for place := range flowing {
		addrs = append(addrs, s.table.both(place)...)
	}
	s.mu.Unlock()
	if len(addrs) == 0 {
		return nil
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	ctx, cancel := call(ctx)
	defer cancel()
	if err := s.plane.Flows.Forget(ctx, addrs); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.forgot(flowing)
	return nil
}

// keep looks after the leases until ctx is done.
func (s *Server) keep(ctx context.Context) {
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	var compared time.Time
	for {
		now := time.Now()
		full := now.Sub(compared) >= compare
		if err := s.tick(ctx, full); err != nil {
			if ctx.Err() == nil {
				s.log.Warn("the data plane does not follow", "err", err)
			}
		} else if full {
			compared = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tick ends what is over and mends what the data plane has not; with full it
// asks what it has. One at a time.
func (s *Server) tick(ctx context.Context, full bool) error {
	return errors.Join(s.look(ctx, full), s.forget(ctx))
}

func (s *Server) look(ctx context.Context, full bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.sweep(ctx, s.now())
	if full || !s.compared {
		err = errors.Join(err, s.compare(ctx))
	}
	return errors.Join(err, s.mend(ctx))
}

// compare finds peers that are missing, too many, or idle, and tells all limits.
func (s *Server) compare(ctx context.Context) error {
	ctx, cancel := call(ctx)
	defer cancel()
	list, err := s.plane.Peers.List(ctx)
	if err != nil {
		return err
	}
	now := time.Now() // The data plane's clock, not that of leases.
	there, gone := map[lease.Key]bool{}, []lease.Key(nil)
	for _, p := range list {
		there[p.PublicKey] = true
		idle := !p.LastHandshake.IsZero() && now.Sub(p.LastHandshake) >= idleTime
		if r := s.table.keys[p.PublicKey]; r == nil {
			gone = append(gone, p.PublicKey)
		} else if idle {
			gone = append(gone, p.PublicKey)
			r.set = false
		}
	}
	for key, r := range s.table.keys {
		r.set = r.set && there[key]
	}
	if len(gone) > 0 {
		if err := s.plane.Peers.Remove(ctx, gone...); err != nil {
			return err
		}
	}
	if err := s.setLimits(ctx); err != nil {
		return err
	}
	s.compared = true
	return nil
}

// mend sets the peers that the data plane has not.
func (s *Server) mend(ctx context.Context) error {
	if !s.compared {
		return nil // Something has failed: peers come after their limits.
	}
	var peers []Peer
	var rows []*row
	for _, r := range s.table.rows {
		if !r.set && s.now().Before(r.end) {
			rows, peers = append(rows, r), append(peers, s.table.peer(r))
		}
	}
	ctx, cancel := call(ctx)
	defer cancel()
	for _, r := range rows {
		if err := s.limit(ctx, r.place, r); err != nil {
			return err
		}
	}
	if len(peers) > 0 {
		if err := s.plane.Peers.Set(ctx, peers...); err != nil {
			return err
		}
	}
	for _, r := range rows {
		r.set = true
	}
	s.restored = true
	return nil
}
