package mx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Identities is what mx needs from the identities database.
type Identities interface {
	// ByAddress returns the identity of an address, or NotExist.
	ByAddress(ctx context.Context, addr nick.Address) (*record.Identity, error)
}

// A recipient is a user who can be encrypted to.
type recipient struct {
	address nick.Address // As it was asked for.
	userID  string
	key     nick.Key
}

const (
	remember    = 60 * time.Second // An answer about an address.
	maxAnswers  = 20_000
	maxAliases  = 200 // Addresses that one address stands for.
	destination = 3   // Identities that may stand for each other, in a row.
)

// A directory knows who has an address. It may be used from any goroutine.
type directory struct {
	ids Identities
	cfg settings

	mu      sync.Mutex // Guards what follows.
	answers map[nick.Address]answer
}

type answer struct {
	until time.Time
	to    *recipient
	err   error // A refusal.
}

func newDirectory(ids Identities, cfg settings) *directory {
	return &directory{ids: ids, cfg: cfg, answers: map[nick.Address]answer{}}
}

func (s *settings) ours(a nick.Address) bool { return slices.Contains(s.Domains, a.Domain()) }

// find returns the users that an address of an envelope stands for: one, or
// those of an alias. Its error is a refusal, or Unavailable.
func (d *directory) find(ctx context.Context, address string, now time.Time) ([]*recipient, error) {
	a, err := nick.ParseAddress(address)
	if err != nil {
		return nil, errUnknown
	}
	if !d.cfg.ours(a) {
		return nil, errForeign
	}
	all := []nick.Address{a}
	for i := 0; i < len(all) && len(all) <= maxAliases; i++ {
		for _, to := range d.cfg.aliases[all[i]] {
			if !slices.Contains(all, to) {
				all = append(all, to)
			}
		}
	}
	var found []*recipient
	for _, one := range all {
		if len(d.cfg.aliases[one]) > 0 {
			continue
		}
		r, err := d.lookup(ctx, one, now)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	if len(found) == 0 {
		return nil, errUnknown // Aliases in a circle.
	}
	return found, nil
}

// lookup returns the user of an address, from memory or from the database.
func (d *directory) lookup(ctx context.Context, a nick.Address, now time.Time) (*recipient, error) {
	d.mu.Lock()
	known, ok := d.answers[a]
	d.mu.Unlock()
	if !ok || now.After(known.until) {
		r, err := d.ask(ctx, a)
		if _, refused := errors.AsType[*refusal](err); err != nil && !refused {
			return nil, err // Not an answer.
		}
		known = answer{now.Add(remember), r, err}
		d.keep(a, known, now)
	}
	if known.err == nil && known.to.key.Expired(now) {
		return nil, errNoKey
	}
	return known.to, known.err
}

func (d *directory) keep(a nick.Address, one answer, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answers) >= maxAnswers {
		for a, old := range d.answers {
			if now.After(old.until) {
				delete(d.answers, a)
			}
		}
	}
	if len(d.answers) >= maxAnswers {
		clear(d.answers)
	}
	d.answers[a] = one
}

// ask asks the database: for the address, and without its suffix.
func (d *directory) ask(ctx context.Context, a nick.Address) (*recipient, error) {
	id, err := d.ids.ByAddress(ctx, a)
	if errors.Is(err, problem.NotExist) && a.Base() != a {
		id, err = d.ids.ByAddress(ctx, a.Base())
	}
	if errors.Is(err, problem.NotExist) {
		return nil, errUnknown
	}
	if err != nil {
		return nil, problem.Unavailable.Errorf("identities: %w", err)
	}
	if id.UserID == "" || !id.Enabled {
		return nil, errUnknown
	}
	key, err := d.keyOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return &recipient{a, id.UserID, key}, nil
}

// keyOf returns the key of an identity, or, of one that has none, that of the
// address of the same user which it stands for.
func (d *directory) keyOf(ctx context.Context, id *record.Identity) (nick.Key, error) {
	for range destination {
		if k, ok := id.Keys["openpgp"]; ok {
			key, err := nick.ParseKey(k.Value)
			if err != nil {
				return nick.Key{}, errNoKey
			}
			return key, nil
		}
		to, err := nick.ParseAddress(id.Destination)
		if err != nil || strings.EqualFold(id.Destination, id.Address) || !d.cfg.ours(to) {
			return nick.Key{}, errNoKey
		}
		next, err := d.ids.ByAddress(ctx, to)
		if errors.Is(err, problem.NotExist) || err == nil && next.UserID != id.UserID {
			return nick.Key{}, errNoKey
		}
		if err != nil {
			return nick.Key{}, problem.Unavailable.Errorf("identities: %w", err)
		}
		id = next
	}
	return nick.Key{}, errNoKey
}

// check asks the database for an address, to see whether it answers.
func (d *directory) check(ctx context.Context) error {
	_, err := d.ids.ByAddress(ctx, nick.Address("postmaster@"+d.cfg.Domains[0]))
	if err != nil && !errors.Is(err, problem.NotExist) {
		return fmt.Errorf("identities: %w", err)
	}
	return nil
}
