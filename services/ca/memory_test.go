package ca_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

var errDown = errors.New("connection refused")

// memory is the database client_certificates in memory.
type memory struct {
	mu       sync.Mutex // Guards what follows.
	down     bool
	pool     []record.Certificate
	requests map[string]record.CertRequest
	added    int
	changed  chan struct{}
	readOnly bool // Answer and Add fail.
}

func newMemory() *memory {
	return &memory{requests: make(map[string]record.CertRequest), changed: make(chan struct{})}
}

// update changes m and tells the followers.
func (m *memory) update(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) err() error {
	if m.down {
		return errDown
	}
	return nil
}

func (m *memory) Take(_ context.Context, plan lease.Plan) (record.Certificate, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return record.Certificate{}, errDown
	}
	k := slices.IndexFunc(m.pool, func(c record.Certificate) bool { return plan == "" || c.Plan == plan })
	if k < 0 {
		return record.Certificate{}, problem.Unavailable.Errorf("no certificate in the pool")
	}
	c := m.pool[k]
	m.pool = slices.Delete(m.pool, k, k+1)
	close(m.changed)
	m.changed = make(chan struct{})
	return c, nil
}

func (m *memory) Add(_ context.Context, c record.Certificate) (err error) {
	m.update(func() {
		if err = m.err(); err == nil && m.readOnly {
			err = errDown
		}
		if err == nil {
			m.pool = append(m.pool, c)
			m.added++
		}
	})
	return err
}

func (m *memory) Count(_ context.Context, plan lease.Plan) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.pool {
		if plan == "" || c.Plan == plan {
			n++
		}
	}
	return n, m.err()
}

func (m *memory) Follow(ctx context.Context, f func([]record.CertRequest, int) error) error {
	for {
		m.mu.Lock()
		err, changed, size := m.err(), m.changed, len(m.pool)
		pending := slices.Collect(maps.Values(m.requests))
		m.mu.Unlock()
		if err != nil {
			return err
		}
		if err := f(pending, size); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (m *memory) Answer(_ context.Context, req record.CertRequest, certPEM string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down || m.readOnly {
		return errDown
	}
	if _, ok := m.requests[req.ID]; !ok {
		return problem.NotExist.Errorf("no such request")
	}
	req.Cert = certPEM
	m.requests[req.ID] = req
	return nil
}

func (m *memory) request(req record.CertRequest) {
	m.update(func() { m.requests[req.ID] = req })
}

func (m *memory) answer(id string) record.CertRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[id]
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pool)
}

func (m *memory) additions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.added
}
