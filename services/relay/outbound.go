package relay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Outbound is the durable queue. What a method did survives a crash once the
// method has returned nil. Errors are Unavailable where nothing else is said;
// after one it is not known whether the method did its work.
type Outbound interface {
	// Add stores a message and its rows. What is already there under the same
	// ids stays as it is: Add may be repeated.
	Add(ctx context.Context, msg record.OutboundMessage, rows []record.OutboundRow) error

	// Due returns rows whose NextAttempt is not after now and that nobody has
	// leased beyond now, longest due first, at most limit. Times may be
	// rounded down to the second.
	Due(ctx context.Context, now time.Time, limit int) ([]record.OutboundRow, error)

	// Lease stores row with a new owner and end of the lease; Save stores it
	// as it is. Both return the row with its new Rev, and fail with Stale if it
	// was changed or removed since it was read.
	Lease(ctx context.Context, row record.OutboundRow, owner string, until time.Time) (record.OutboundRow, error)
	Save(ctx context.Context, row record.OutboundRow) (record.OutboundRow, error)

	// Row returns a row as it is now, or NotExist.
	Row(ctx context.Context, id string) (record.OutboundRow, error)

	// Message returns a message, or NotExist.
	Message(ctx context.Context, id string) (record.OutboundMessage, error)

	// Remove removes a row, and its message with the last one; Stale as Save.
	Remove(ctx context.Context, row record.OutboundRow) error

	// Wait returns nil when rows were added since it last returned, sooner
	// too, or with ctx. One goroutine calls it.
	Wait(ctx context.Context) error
}

// A parcel is a message with its envelope, on its way into the queue.
type parcel struct {
	id   string
	from string // "" is the null sender.
	to   []mailbox
	utf8 bool
	text []byte
}

func newID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// put stores a parcel durably.
func (s *Server) put(ctx context.Context, v *vault, p parcel, now time.Time) error {
	domains := map[string][]string{}
	for _, m := range p.to {
		if !slices.Contains(domains[m.domain], m.path) {
			domains[m.domain] = append(domains[m.domain], m.path)
		}
	}
	var rows []record.OutboundRow
	for i, domain := range slices.Sorted(maps.Keys(domains)) {
		row := record.OutboundRow{
			ID: fmt.Sprintf("%s-%d", p.id, i), Type: "OutboundRow", Message: p.id, NextAttempt: now, CreatedAt: now,
		}
		if err := v.sealTask(&row, task{From: p.from, To: domains[domain], Domain: domain, UTF8: p.utf8}); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	msg := record.OutboundMessage{ID: p.id, Sealed: v.seal("message", p.id, p.text), CreatedAt: now}
	if err := s.queue.Add(ctx, msg, rows); err != nil {
		return problem.Unavailable.Errorf("outbound queue: %w", err)
	}
	return nil
}
