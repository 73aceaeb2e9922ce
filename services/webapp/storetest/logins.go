package storetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// idle is how long a token lives without being used.
const idle = time.Hour

type token struct {
	userID string
	seen   time.Time
}

type tokens struct{ m *Memory }

func (t tokens) Create(_ context.Context, text, userID string) error {
	if err := t.m.begin("tokens.Create"); err != nil {
		return err
	}
	defer t.m.mu.Unlock()
	t.m.tokens[text] = token{userID, time.Now()}
	return nil
}

func (t tokens) User(_ context.Context, text string) (string, error) {
	if err := t.m.begin("tokens.User"); err != nil {
		return "", err
	}
	defer t.m.mu.Unlock()
	found, ok := t.m.tokens[text]
	if !ok || time.Since(found.seen) >= idle {
		return "", problem.Unauthenticated.Errorf("unknown token")
	}
	found.seen = time.Now()
	t.m.tokens[text] = found
	return found.userID, nil
}

func (t tokens) Delete(_ context.Context, text string) error {
	if err := t.m.begin("tokens.Delete"); err != nil {
		return err
	}
	defer t.m.mu.Unlock()
	delete(t.m.tokens, text)
	return nil
}

func (t tokens) DeleteUser(_ context.Context, userID string) error {
	if err := t.m.begin("tokens.DeleteUser"); err != nil {
		return err
	}
	defer t.m.mu.Unlock()
	for text, found := range t.m.tokens {
		if found.userID == userID {
			delete(t.m.tokens, text)
		}
	}
	return nil
}

type session struct {
	data    []byte
	expires time.Time
}

type sessions struct{ m *Memory }

func (s sessions) Put(_ context.Context, id string, data []byte, expires time.Time) error {
	if err := s.m.begin("sessions.Put"); err != nil {
		return err
	}
	defer s.m.mu.Unlock()
	s.m.sessions[id] = session{slices.Clone(data), expires}
	return nil
}

func (s sessions) Take(_ context.Context, id string) ([]byte, error) {
	if err := s.m.begin("sessions.Take"); err != nil {
		return nil, err
	}
	defer s.m.mu.Unlock()
	found, ok := s.m.sessions[id]
	delete(s.m.sessions, id)
	if !ok || !time.Now().Before(found.expires) {
		return nil, problem.NotExist.Errorf("no such session")
	}
	return found.data, nil
}

type invites struct{ m *Memory }

func (i invites) Use(_ context.Context, code string) error {
	if err := i.m.begin("invites.Use"); err != nil {
		return err
	}
	defer i.m.mu.Unlock()
	found, ok := i.m.invites[code]
	switch {
	case !ok, !found.ExpiresAt.IsZero() && !time.Now().Before(found.ExpiresAt):
		return problem.NotExist.Errorf("no such code")
	case found.Count >= found.MaxUses:
		return problem.Limit.Errorf("the code is used up")
	}
	found.Count++
	return nil
}

func (i invites) Create(_ context.Context, code string, maxUses int, expires time.Time) error {
	if err := i.m.begin("invites.Create"); err != nil {
		return err
	}
	defer i.m.mu.Unlock()
	if i.m.invites[code] != nil {
		return problem.Exist.Errorf("there is such a code")
	}
	i.m.invites[code] = &record.InviteCode{ID: code, Type: "InviteCode", Code: code, MaxUses: maxUses, ExpiresAt: expires}
	return nil
}

// AddInvite makes an invite code.
func (m *Memory) AddInvite(code string, maxUses int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.invites[code] = &record.InviteCode{ID: code, Type: "InviteCode", Code: code, MaxUses: maxUses}
}

type messages struct{ m *Memory }

func (s messages) ForUser(_ context.Context, userID string) ([]record.Message, error) {
	if err := s.m.begin("messages.ForUser"); err != nil {
		return nil, err
	}
	defer s.m.mu.Unlock()
	var all []record.Message
	for _, m := range s.m.messages {
		if len(m.UserIDs) == 0 || slices.Contains(m.UserIDs, userID) {
			all = append(all, m)
		}
	}
	return all, nil
}

// AddMessage makes a notice.
func (m *Memory) AddMessage(msg record.Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, msg)
}

type certificates struct{ m *Memory }

func (c certificates) Take(_ context.Context, plan lease.Plan) (record.Certificate, error) {
	if err := c.m.begin("certificates.Take"); err != nil {
		return record.Certificate{}, err
	}
	defer c.m.mu.Unlock()
	k := slices.IndexFunc(c.m.pool, func(e record.Certificate) bool { return plan == "" || e.Plan == plan })
	if k < 0 {
		return record.Certificate{}, problem.Unavailable.Errorf("no certificate in the pool")
	}
	first := c.m.pool[k]
	c.m.pool = slices.Delete(c.m.pool, k, k+1)
	return first, nil
}

func (c certificates) RequestSMTP(_ context.Context, req record.CertRequest) (string, error) {
	if err := c.m.begin("certificates.RequestSMTP"); err != nil {
		return "", err
	}
	c.m.mu.Unlock()
	return c.m.SignSMTP(req)
}

// AddCertificate puts an entry into the pool, of the unlimited plan if it tells
// none.
func (m *Memory) AddCertificate(c record.Certificate) {
	c.Plan = cmp.Or(c.Plan, lease.Unlimited)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pool = append(m.pool, c)
}
