package storetest

import (
	"encoding/json"
	"strconv"
	"sync"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/webapp"
)

// Memory holds all stores of webapp in memory. Like the database it keeps
// encoded documents with revisions, so that nothing is shared with a caller.
type Memory struct {
	// Fail, if set, is asked before each call ("users.Create"); its error is
	// the call's. It is set before the stores are used.
	Fail func(call string) error
	// SignSMTP plays the CA.
	SignSMTP func(req record.CertRequest) (certPEM string, err error)

	mu         sync.Mutex // Guards what follows.
	rev        int
	users      table[record.User]
	identities table[record.Identity]
	tickets    table[record.Ticket]
	invites    map[string]*record.InviteCode
	tokens     map[string]token
	sessions   map[string]session
	messages   []record.Message
	pool       []record.Certificate
}

// NewMemory returns empty stores.
func NewMemory() *Memory {
	return &Memory{
		users:      make(table[record.User]),
		identities: make(table[record.Identity]),
		tickets:    make(table[record.Ticket]),
		invites:    make(map[string]*record.InviteCode),
		tokens:     make(map[string]token),
		sessions:   make(map[string]session),
	}
}

// Stores returns the stores of m.
func (m *Memory) Stores() webapp.Stores {
	return webapp.Stores{
		Users:        users{m},
		Identities:   identities{m},
		Tokens:       tokens{m},
		Sessions:     sessions{m},
		Invites:      invites{m},
		Messages:     messages{m},
		Tickets:      tickets{m},
		Certificates: certificates{m},
	}
}

// begin locks m for one call, unless the call is to fail.
func (m *Memory) begin(call string) error {
	if m.Fail != nil {
		if err := m.Fail(call); err != nil {
			return err
		}
	}
	m.mu.Lock()
	return nil
}

func (m *Memory) nextRev() string {
	m.rev++
	return strconv.Itoa(m.rev)
}

// A table is one database: encoded documents by id.
type table[T any] map[string]stored

type stored struct {
	rev  string
	data []byte
}

func (t table[T]) get(id string) (*T, string, error) {
	s, ok := t[id]
	if !ok {
		return nil, "", problem.NotExist.Errorf("no such document")
	}
	v := new(T)
	return v, s.rev, json.Unmarshal(s.data, v)
}

func (t table[T]) create(id, rev string, v *T) error {
	if _, ok := t[id]; ok {
		return problem.Exist.Errorf("the document exists")
	}
	return t.put(id, rev, v)
}

func (t table[T]) update(id, old, rev string, v *T) error {
	if s, ok := t[id]; !ok || s.rev != old {
		return problem.Stale.Errorf("the document was changed")
	}
	return t.put(id, rev, v)
}

func (t table[T]) remove(id, old string) error {
	s, ok := t[id]
	if !ok {
		return problem.NotExist.Errorf("no such document")
	}
	if s.rev != old {
		return problem.Stale.Errorf("the document was changed")
	}
	delete(t, id)
	return nil
}

func (t table[T]) put(id, rev string, v *T) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	t[id] = stored{rev, data}
	return nil
}
