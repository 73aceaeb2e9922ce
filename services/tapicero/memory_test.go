package tapicero_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

var errDown = errors.New("connection refused")

// A world is the three stores in memory. Each call passes through fail, which
// may refuse it.
type world struct {
	mu      sync.Mutex // Guards what follows.
	users   map[string]bool
	log     []change // All changes; the sequence is an index into it.
	dbs     map[string]bool
	secured map[string]int
	state   map[string]string
	calls   []string // "create a", "destroy a", …
	more    chan struct{}
	fail    func(op, id string) error
	short   bool // The list of users ends early, with an error.
}

type change struct {
	id      string
	deleted bool
}

func newWorld() *world {
	return &world{
		users:   make(map[string]bool),
		dbs:     make(map[string]bool),
		secured: make(map[string]int),
		state:   make(map[string]string),
		more:    make(chan struct{}),
	}
}

// id makes a user id of a short name.
func id(n int) string { return fmt.Sprintf("%032x", n) }

func (w *world) setFail(f func(op, id string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = f
}

func (w *world) event(id string, deleted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if deleted {
		delete(w.users, id)
	} else {
		w.users[id] = true
	}
	w.log = append(w.log, change{id, deleted})
	close(w.more)
	w.more = make(chan struct{})
}

func (w *world) create(id string) { w.event(id, false) }
func (w *world) remove(id string) { w.event(id, true) }

// call notes a call and says whether it is to fail. It returns with mu held.
func (w *world) call(op, id string) error {
	w.mu.Lock()
	w.calls = append(w.calls, op+" "+id)
	if w.fail != nil {
		return w.fail(op, id)
	}
	return nil
}

func (w *world) count(op, id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c == op+" "+id {
			n++
		}
	}
	return n
}

func (w *world) databases() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.dbs))
}

type users struct{ *world }

func (u users) ByID(_ context.Context, id string) (*record.User, error) {
	err := u.call("user", id)
	defer u.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !u.users[id] {
		return nil, problem.NotExist.Errorf("no such user")
	}
	return &record.User{ID: id}, nil
}

func (u users) IDs(context.Context) ([]string, error) {
	err := u.call("users", "")
	defer u.mu.Unlock()
	ids := slices.Collect(maps.Keys(u.users))
	if u.short {
		return ids[:len(ids)/2], errors.New("the list ended early")
	}
	return ids, err
}

func (u users) Follow(ctx context.Context, since string, f func(string, bool, string) error) error {
	at := 0
	if since != "" {
		n, err := strconv.Atoi(since)
		if err != nil {
			return problem.Invalid.Errorf("bad sequence %q", since)
		}
		at = n
	}
	for {
		err := u.call("follow", "")
		pending, more := u.log[min(at, len(u.log)):], u.more
		u.mu.Unlock()
		if err != nil {
			return err
		}
		for _, c := range pending {
			at++
			if err := f(c.id, c.deleted, strconv.Itoa(at)); err != nil {
				return err
			}
		}
		if len(pending) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
}

type userDBs struct{ *world }

func (d userDBs) Create(_ context.Context, id string) error {
	err := d.call("create", id)
	defer d.mu.Unlock()
	if err == nil {
		d.dbs[id] = true
		d.secured[id]++
	}
	return err
}

func (d userDBs) Destroy(_ context.Context, id string) error {
	err := d.call("destroy", id)
	defer d.mu.Unlock()
	if err == nil {
		delete(d.dbs, id)
	}
	return err
}

func (d userDBs) IDs(context.Context) ([]string, error) {
	err := d.call("dbs", "")
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.dbs)), err
}

func (d userDBs) Check(_ context.Context, id string) error {
	err := d.call("check", id)
	defer d.mu.Unlock()
	if err == nil && !d.dbs[id] {
		return problem.NotExist.Errorf("no such database")
	}
	if err == nil {
		d.secured[id]++
	}
	return err
}

type state struct{ *world }

func (s state) Get(_ context.Context, key string) (string, error) {
	err := s.call("get", key)
	defer s.mu.Unlock()
	if err != nil {
		return "", err
	}
	v, ok := s.state[key]
	if !ok {
		return "", problem.NotExist.Errorf("no note")
	}
	return v, nil
}

func (s state) Set(_ context.Context, key, value string) error {
	err := s.call("set", key)
	defer s.mu.Unlock()
	if err == nil {
		s.state[key] = value
	}
	return err
}
