package storetest

import (
	"context"
	"slices"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

type users struct{ m *Memory }

func (u users) Create(_ context.Context, user *record.User) error {
	if err := u.m.begin("users.Create"); err != nil {
		return err
	}
	defer u.m.mu.Unlock()
	rev := u.m.nextRev()
	if err := u.m.users.create(user.ID, rev, user); err != nil {
		return err
	}
	user.Rev = rev
	return nil
}

func (u users) ByID(_ context.Context, id string) (*record.User, error) {
	if err := u.m.begin("users.ByID"); err != nil {
		return nil, err
	}
	defer u.m.mu.Unlock()
	return u.get(id)
}

func (u users) get(id string) (*record.User, error) {
	user, rev, err := u.m.users.get(id)
	if err != nil {
		return nil, err
	}
	user.Rev = rev
	return user, nil
}

func (u users) ByLogin(_ context.Context, login string) (*record.User, error) {
	if err := u.m.begin("users.ByLogin"); err != nil {
		return nil, err
	}
	defer u.m.mu.Unlock()
	for id := range u.m.users {
		if user, err := u.get(id); err != nil || user.Login == login {
			return user, err
		}
	}
	return nil, problem.NotExist.Errorf("no such user")
}

func (u users) Update(_ context.Context, user *record.User) error {
	if err := u.m.begin("users.Update"); err != nil {
		return err
	}
	defer u.m.mu.Unlock()
	rev := u.m.nextRev()
	if err := u.m.users.update(user.ID, user.Rev, rev, user); err != nil {
		return err
	}
	user.Rev = rev
	return nil
}

func (u users) Delete(_ context.Context, id string) error {
	if err := u.m.begin("users.Delete"); err != nil {
		return err
	}
	defer u.m.mu.Unlock()
	return u.m.users.remove(id, u.m.users[id].rev)
}

func (u users) Search(_ context.Context, prefix string, limit int) ([]string, error) {
	if err := u.m.begin("users.Search"); err != nil {
		return nil, err
	}
	defer u.m.mu.Unlock()
	var logins []string
	for id := range u.m.users {
		user, err := u.get(id)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(user.Login, prefix) {
			logins = append(logins, user.Login)
		}
	}
	slices.Sort(logins)
	return logins[:min(limit, len(logins))], nil
}

type identities struct{ m *Memory }

func (i identities) Create(_ context.Context, id *record.Identity) error {
	if err := i.m.begin("identities.Create"); err != nil {
		return err
	}
	defer i.m.mu.Unlock()
	rev := i.m.nextRev()
	if err := i.m.identities.create(id.ID, rev, id); err != nil {
		return err
	}
	id.Rev = rev
	return nil
}

func (i identities) ByAddress(_ context.Context, addr nick.Address) (*record.Identity, error) {
	if err := i.m.begin("identities.ByAddress"); err != nil {
		return nil, err
	}
	defer i.m.mu.Unlock()
	return i.get(strings.Replace(string(addr), "@", ":", 1))
}

func (i identities) get(id string) (*record.Identity, error) {
	identity, rev, err := i.m.identities.get(id)
	if err != nil {
		return nil, err
	}
	identity.Rev = rev
	return identity, nil
}

func (i identities) ByWKD(_ context.Context, hash string) (*record.Identity, error) {
	if err := i.m.begin("identities.ByWKD"); err != nil {
		return nil, err
	}
	defer i.m.mu.Unlock()
	for id := range i.m.identities {
		if identity, err := i.get(id); err != nil || identity.WKD == hash {
			return identity, err
		}
	}
	return nil, problem.NotExist.Errorf("no such identity")
}

func (i identities) ByUser(_ context.Context, userID string) ([]*record.Identity, error) {
	if err := i.m.begin("identities.ByUser"); err != nil {
		return nil, err
	}
	defer i.m.mu.Unlock()
	var all []*record.Identity
	for id := range i.m.identities {
		identity, err := i.get(id)
		if err != nil {
			return nil, err
		}
		if identity.UserID == userID {
			all = append(all, identity)
		}
	}
	return all, nil
}

func (i identities) Update(_ context.Context, id *record.Identity) error {
	if err := i.m.begin("identities.Update"); err != nil {
		return err
	}
	defer i.m.mu.Unlock()
	rev := i.m.nextRev()
	if err := i.m.identities.update(id.ID, id.Rev, rev, id); err != nil {
		return err
	}
	id.Rev = rev
	return nil
}

func (i identities) Delete(_ context.Context, id *record.Identity) error {
	if err := i.m.begin("identities.Delete"); err != nil {
		return err
	}
	defer i.m.mu.Unlock()
	return i.m.identities.remove(id.ID, id.Rev)
}

type tickets struct{ m *Memory }

func (t tickets) Create(_ context.Context, ticket *record.Ticket) error {
	if err := t.m.begin("tickets.Create"); err != nil {
		return err
	}
	defer t.m.mu.Unlock()
	return t.m.tickets.create(ticket.ID, t.m.nextRev(), ticket)
}

func (t tickets) ByID(_ context.Context, id string) (*record.Ticket, error) {
	if err := t.m.begin("tickets.ByID"); err != nil {
		return nil, err
	}
	defer t.m.mu.Unlock()
	ticket, rev, err := t.m.tickets.get(id)
	if err != nil {
		return nil, err
	}
	ticket.Rev = rev
	return ticket, nil
}

func (t tickets) Update(_ context.Context, ticket *record.Ticket) error {
	if err := t.m.begin("tickets.Update"); err != nil {
		return err
	}
	defer t.m.mu.Unlock()
	return t.m.tickets.update(ticket.ID, ticket.Rev, t.m.nextRev(), ticket)
}
