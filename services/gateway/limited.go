package gateway

import (
	"context"
	"net/netip"
	"slices"

	"leap.example/services/protocol/lease"
)

// limit has the data plane limit the addresses of a place as r wants them; with
// r nil none of them. It tells what has changed and nothing else.
func (s *Server) limit(ctx context.Context, place int, r *row) error {
	var wanted, more, less []netip.Addr
	if r != nil && r.plan == lease.Limited {
		wanted = s.table.addresses(r)
	}
	for _, a := range s.table.both(place) {
		switch want := slices.Contains(wanted, a); {
		case want && !s.limited[a]:
			more = append(more, a)
		case !want && s.limited[a]:
			less = append(less, a)
		}
	}
	if len(more) > 0 {
		if err := s.plane.Limits.Add(ctx, more); err != nil {
			return s.doubt(err)
		}
	}
	if len(less) > 0 {
		if err := s.plane.Limits.Remove(ctx, less); err != nil {
			return s.doubt(err)
		}
	}
	for _, a := range more {
		s.limited[a] = true
	}
	for _, a := range less {
		delete(s.limited, a)
	}
	return nil
}

// doubt has the next tick tell the data plane all limits.
func (s *Server) doubt(err error) error {
	s.compared = false
	return err
}

// setLimits tells the data plane all limited addresses: it may have forgotten
// some.
func (s *Server) setLimits(ctx context.Context) error {
	addrs := s.table.limited()
	if err := s.plane.Limits.Set(ctx, addrs); err != nil {
		return s.doubt(err)
	}
	s.limited = make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		s.limited[a] = true
	}
	return nil
}
