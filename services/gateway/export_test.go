package gateway

import (
	"context"
	"net/netip"
	"time"
)

// SetClock makes leases and certificates end by another clock.
func (s *Server) SetClock(now func() time.Time) { s.now = now }

// Compare does what the server does every 15 s.
func (s *Server) Compare(ctx context.Context) error { return s.tick(ctx, true) }

// ReadBook reads a book of leases and writes down again what it has.
func ReadBook(data []byte, v4, v6 netip.Prefix) (again []byte, ok bool) {
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
