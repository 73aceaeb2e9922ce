// Package storetest holds relay's stores in memory, for tests, and the
// conformance suite of the one that has two implementations, relay.Outbound.
package storetest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// A Fault says what a store answers instead of doing its work. The zero value
// lets it work.
type Fault struct {
	mu  sync.Mutex
	err error
}

// Set makes the store answer err from now on; nil heals it.
func (f *Fault) Set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *Fault) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Identities is a relay.Identities in memory, complete before it is used.
type Identities map[nick.Address]record.Identity

// ByAddress implements relay.Identities.
func (s Identities) ByAddress(_ context.Context, addr nick.Address) (*record.Identity, error) {
	id, ok := s[addr]
	if !ok {
		return nil, problem.NotExist.Errorf("no such identity")
	}
	return &id, nil
}

// Tokens is a relay.Tokens in memory: user ids by token.
type Tokens map[string]string

// User implements relay.Tokens.
func (s Tokens) User(_ context.Context, token string) (string, error) {
	if user, ok := s[token]; ok {
		return user, nil
	}
	return "", problem.Unauthenticated.Errorf("no such token")
}

// Outbound is a relay.Outbound in memory.
type Outbound struct {
	Fault
	mu       sync.Mutex
	messages map[string]record.OutboundMessage
	rows     map[string]record.OutboundRow
	revision int
	added    chan struct{}
}

// NewOutbound returns an empty store.
func NewOutbound() *Outbound {
	return &Outbound{messages: map[string]record.OutboundMessage{}, rows: map[string]record.OutboundRow{}, added: make(chan struct{}, 1)}
}

// Add implements relay.Outbound.
func (s *Outbound) Add(_ context.Context, msg record.OutboundMessage, rows []record.OutboundRow) error {
	if err := s.get(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.messages[msg.ID]; !ok {
		msg.Sealed = slices.Clone(msg.Sealed)
		s.messages[msg.ID] = msg
	}
	for _, r := range rows {
		if _, ok := s.rows[r.ID]; !ok {
			s.put(r)
		}
	}
	select {
	case s.added <- struct{}{}:
	default: // Who waits knows already.
	}
	return nil
}

func (s *Outbound) put(r record.OutboundRow) record.OutboundRow {
	s.revision++
	r.Rev = strconv.Itoa(s.revision)
	s.rows[r.ID] = r
	return r
}

// Due implements relay.Outbound.
func (s *Outbound) Due(_ context.Context, now time.Time, limit int) ([]record.OutboundRow, error) {
	if err := s.get(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []record.OutboundRow
	for _, r := range s.rows {
		if !r.NextAttempt.After(now) && !r.LeaseUntil.After(now) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b record.OutboundRow) int { return a.NextAttempt.Compare(b.NextAttempt) })
	return due[:min(limit, len(due))], nil
}

// Lease implements relay.Outbound.
func (s *Outbound) Lease(ctx context.Context, row record.OutboundRow, owner string, until time.Time) (record.OutboundRow, error) {
	row.LeaseOwner, row.LeaseUntil = owner, until
	return s.Save(ctx, row)
}

// Save implements relay.Outbound.
func (s *Outbound) Save(_ context.Context, row record.OutboundRow) (record.OutboundRow, error) {
	if err := s.get(); err != nil {
		return row, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.rows[row.ID]; !ok || old.Rev != row.Rev {
		return row, problem.Stale.Errorf("the row was changed")
	}
	return s.put(row), nil
}

// Row implements relay.Outbound.
func (s *Outbound) Row(_ context.Context, id string) (record.OutboundRow, error) {
	if err := s.get(); err != nil {
		return record.OutboundRow{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[id]
	if !ok {
		return row, problem.NotExist.Errorf("no such row")
	}
	return row, nil
}

// Message implements relay.Outbound.
func (s *Outbound) Message(_ context.Context, id string) (record.OutboundMessage, error) {
	if err := s.get(); err != nil {
		return record.OutboundMessage{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	msg, ok := s.messages[id]
	if !ok {
		return msg, problem.NotExist.Errorf("no such message")
	}
	return msg, nil
}

// Remove implements relay.Outbound.
func (s *Outbound) Remove(_ context.Context, row record.OutboundRow) error {
	if err := s.get(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.rows[row.ID]; !ok || old.Rev != row.Rev {
		return problem.Stale.Errorf("the row was changed")
	}
	delete(s.rows, row.ID)
	for _, r := range s.rows {
		if r.Message == row.Message {
			return nil
		}
	}
	delete(s.messages, row.Message)
	return nil
}

// Wait implements relay.Outbound.
func (s *Outbound) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.added:
		return s.get()
	}
}

// Rows returns all rows.
func (s *Outbound) Rows() []record.OutboundRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []record.OutboundRow
	for _, r := range s.rows {
		all = append(all, r)
	}
	return all
}

// Messages returns all messages.
func (s *Outbound) Messages() []record.OutboundMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []record.OutboundMessage
	for _, m := range s.messages {
		all = append(all, m)
	}
	return all
}

// Hurry makes all rows due and ends their leases: what time would do.
func (s *Outbound) Hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.rows {
		r.NextAttempt, r.LeaseUntil = time.Now().Add(-time.Second), time.Time{}
		s.rows[id] = r // The revision stays: who has the row does not notice.
	}
	select {
	case s.added <- struct{}{}:
	default:
	}
}
