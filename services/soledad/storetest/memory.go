package storetest

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

// Memory is a provider's databases in memory, as far as soledad uses them. The
// zero value is empty.
type Memory struct {
	mu     sync.Mutex
	users  map[string]*database
	tokens map[string]string
	shared map[string]u1db.Document
}

// database is one user's.
type database struct {
	mu       sync.Mutex
	replica  string
	docs     map[string]u1db.Document // With the generation of their last change.
	log      []u1db.Change            // Generation 1 first.
	sources  map[string]u1db.Change   // Positions, by replica.
	incoming []record.Incoming
	blobs    map[blobKey]*stored
	version  int           // Rises with every change.
	changed  chan struct{} // Closed by the next change.
}

type blobKey struct{ ns, id string }

type stored struct {
	record.Blob
	body []byte
}

// Login makes token a token of a user.
func (m *Memory) Login(token, userID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		m.tokens = map[string]string{}
	}
	m.tokens[token] = userID
}

// Logout makes token invalid.
func (m *Memory) Logout(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, token)
}

// User implements soledad.Tokens.
func (m *Memory) User(_ context.Context, token string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if user, ok := m.tokens[token]; ok {
		return user, nil
	}
	return "", problem.Unauthenticated.Errorf("no such token")
}

// Get implements soledad.Shared.
func (m *Memory) Get(_ context.Context, id string) (u1db.Document, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.shared[id]; ok {
		return d, nil
	}
	return u1db.Document{}, problem.NotExist.Errorf("no such document")
}

// Put implements soledad.Shared.
func (m *Memory) Put(_ context.Context, doc u1db.Document, oldRev string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shared[doc.ID].Rev != oldRev {
		return problem.Stale.Errorf("another revision is stored")
	}
	if m.shared == nil {
		m.shared = map[string]u1db.Document{}
	}
	m.shared[doc.ID] = doc
	return nil
}

// Create creates a user's database, if it does not exist.
func (m *Memory) Create(_ context.Context, userID string) error {
	replica, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == nil {
		m.users = map[string]*database{}
	}
	if m.users[userID] == nil {
		m.users[userID] = &database{
			replica: replica,
			docs:    map[string]u1db.Document{},
			sources: map[string]u1db.Change{},
			blobs:   map[blobKey]*stored{},
			changed: make(chan struct{}),
		}
	}
	return nil
}

// Open returns a user's database, which may not exist.
func (m *Memory) Open(userID string) *UserDB {
	db := &UserDB{memory: m, user: userID}
	if d, unlock, err := db.open(); err == nil {
		db.version = d.version
		unlock()
	}
	return db
}

// UserDB is a soledad.UserDB in memory.
type UserDB struct {
	memory  *Memory
	user    string
	version int // Up to which changes were waited for.
}

// open returns the database, locked.
func (u *UserDB) open() (d *database, unlock func(), err error) {
	u.memory.mu.Lock()
	d = u.memory.users[u.user]
	u.memory.mu.Unlock()
	if d == nil {
		return nil, nil, problem.NotExist.Errorf("no such database")
	}
	d.mu.Lock()
	return d, d.mu.Unlock, nil
}

// change wakes who waits. d is locked.
func (d *database) change() {
	d.version++
	close(d.changed)
	d.changed = make(chan struct{})
}

// Wait implements soledad.Documents.
func (u *UserDB) Wait(ctx context.Context) error {
	for {
		d, unlock, err := u.open()
		if err != nil {
			return err
		}
		version, changed := d.version, d.changed
		unlock()
		if version > u.version {
			u.version = version
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Size implements soledad.UserDB: the sum of all contents.
func (u *UserDB) Size(context.Context) (int64, error) {
	d, unlock, err := u.open()
	if err != nil {
		return 0, err
	}
	defer unlock()
	n := 0
	for _, doc := range d.docs {
		n += len(doc.Content)
	}
	for _, in := range d.incoming {
		n += len(in.Body)
	}
	for _, b := range d.blobs {
		n += len(b.body)
	}
	return int64(n), nil
}

// AddIncoming puts an entry into the queue, as mx does; one that is there
// already stays.
func (u *UserDB) AddIncoming(_ context.Context, in record.Incoming) error {
	d, unlock, err := u.open()
	if err != nil {
		return err
	}
	defer unlock()
	if slices.ContainsFunc(d.incoming, func(o record.Incoming) bool { return o.ID == in.ID }) {
		return nil
	}
	in.Size = int64(len(in.Body))
	d.incoming = append(d.incoming, in)
	slices.SortFunc(d.incoming, func(a, b record.Incoming) int { return compare(a.ID, b.ID) })
	d.change()
	return nil
}

// Incoming implements soledad.Queue.
func (u *UserDB) Incoming(_ context.Context, limit int) ([]record.Incoming, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	list := slices.Clone(d.incoming[:min(limit, len(d.incoming))])
	for i := range list {
		list[i].Body = nil
	}
	return list, nil
}

// IncomingBody implements soledad.Queue.
func (u *UserDB) IncomingBody(_ context.Context, id string) ([]byte, error) {
	d, unlock, err := u.open()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, in := range d.incoming {
		if in.ID == id {
			return in.Body, nil
		}
	}
	return nil, problem.NotExist.Errorf("no such entry")
}

// DeleteIncoming implements soledad.Queue.
func (u *UserDB) DeleteIncoming(_ context.Context, id string) error {
	d, unlock, err := u.open()
	if err != nil {
		return err
	}
	defer unlock()
	i := slices.IndexFunc(d.incoming, func(in record.Incoming) bool { return in.ID == id })
	if i < 0 {
		return problem.NotExist.Errorf("no such entry")
	}
	d.incoming = slices.Delete(d.incoming, i, i+1)
	d.change()
	return nil
}
