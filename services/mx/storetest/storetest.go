// Package storetest holds mx's stores in memory, for tests. They can be made
// to fail like a database that is away.
package storetest

import (
	"context"
	"slices"
	"strings"
	"sync"

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

// Identities is an mx.Identities in memory.
type Identities struct {
	Fault
	mu    sync.Mutex
	all   map[nick.Address]record.Identity
	asked int
}

// NewIdentities returns a store with the identities.
func NewIdentities(list ...record.Identity) *Identities {
	s := &Identities{all: map[nick.Address]record.Identity{}}
	for _, id := range list {
		s.all[nick.Address(id.Address)] = id
	}
	return s
}

// ByAddress implements mx.Identities.
func (s *Identities) ByAddress(_ context.Context, addr nick.Address) (*record.Identity, error) {
	if err := s.get(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	id, ok := s.all[addr]
	if !ok {
		return nil, problem.NotExist.Errorf("no such identity")
	}
	return &id, nil
}

// Asked returns how often the store was asked.
func (s *Identities) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Queue is an mx.Queue in memory.
type Queue struct {
	Fault
	mu      sync.Mutex
	broken  map[string]error // By user.
	entries map[string][]record.Incoming
}

// NewQueue returns an empty store.
func NewQueue() *Queue {
	return &Queue{broken: map[string]error{}, entries: map[string][]record.Incoming{}}
}

// SetUser makes the store answer err for one user; nil heals it.
func (s *Queue) SetUser(userID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[userID] = err
}

// AddIncoming implements mx.Queue.
func (s *Queue) AddIncoming(_ context.Context, userID string, in record.Incoming) error {
	if err := s.get(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.broken[userID]; err != nil {
		return err
	}
	if !slices.ContainsFunc(s.entries[userID], func(e record.Incoming) bool { return e.ID == in.ID }) {
		in.Body = slices.Clone(in.Body)
		s.entries[userID] = append(s.entries[userID], in)
	}
	return nil
}

// Size implements mx.Sizer.
func (s *Queue) Size(_ context.Context, userID string) (int64, error) {
	if err := s.get(); err != nil {
		return 0, err
	}
	var n int64
	for _, e := range s.Entries(userID) {
		n += int64(len(e.Body))
	}
	return n, nil
}

// Entries returns the queue of a user, by id.
func (s *Queue) Entries(userID string) []record.Incoming {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(slices.Values(s.entries[userID]), func(a, b record.Incoming) int { return strings.Compare(a.ID, b.ID) })
}
