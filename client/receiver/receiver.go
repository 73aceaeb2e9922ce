package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/services/protocol/envelope"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// A Queue is the incoming queue at the provider. client/soledad's Remote is
// one; its errors are of the kinds that it documents.
type Queue interface {
	Incoming(ctx context.Context, limit int) ([]u1db.QueueEntry, error)
	FetchIncoming(ctx context.Context, id string) ([]byte, error)
	DeleteIncoming(ctx context.Context, id string) error
}

// Keys opens and verifies. client/keymanager's Keys is one.
type Keys interface {
	Own(ctx context.Context) (*keymanager.OwnKey, error)
	OpenEnvelope(ctx context.Context, data []byte, mxKeys []string) (envelope.Header, []byte, error)
	Decrypt(ctx context.Context, data []byte) (plain []byte, sig keymanager.Signature, err error)
	VerifyDetached(ctx context.Context, data, sig []byte, from nick.Address) keymanager.Signature
	// FindQuiet returns the key known for an address, asking the account's
	// provider if need be, and nobody else.
	FindQuiet(ctx context.Context, addr nick.Address) (nick.Key, nick.Level, error)
	Learn(ctx context.Context, addr nick.Address, armored string, level nick.Level) error
}

// Synced is the synchronised store. client/soledad's Store is most of one.
type Synced interface {
	// Sync sends what is stored to the provider.
	Sync(ctx context.Context) error
	// Confirmed reports whether the provider has the present versions of these
	// documents, by local id.
	Confirmed(ctx context.Context, ids ...string) (bool, error)
}

// A Receiver drains one account's queue on this device.
type Receiver struct {
	keys   Keys
	mail   *mailstore.Store
	mxKeys func(ctx context.Context, fresh bool) ([]string, error)
	domain string // Of the account: keys in it are not learned from mail.
	log    *slog.Logger

	bad       map[string]failure // Entries that did not open or for which there is no room, by id.
	key       string             // Fingerprint of the own key with which they did not.
	collected time.Time          // When expunged messages were last removed.
}

// A failure says when an entry that was put off is tried again.
type failure struct {
	next  time.Time
	pause time.Duration
}

const (
	page       = 64       // Entries between two exchanges, and
	pageBytes  = 16 << 20 // their size together, if there is more than one.
	parallel   = 4        // Requests at once.
	firstPause = time.Minute
	maxPause   = 6 * time.Hour
	collecting = 24 * time.Hour
)

// New returns a receiver for the account with the mail domain domain. mxKeys
// returns the armored keys by which the provider's MX signs, from the provider
// itself when fresh.
func New(keys Keys, mail *mailstore.Store, mxKeys func(ctx context.Context, fresh bool) ([]string, error), domain string, log *slog.Logger) *Receiver {
	return &Receiver{keys: keys, mail: mail, mxKeys: mxKeys, domain: domain, log: log, bad: map[string]failure{}}
}

// Drain takes everything out of the queue that opens. It returns the number
// of messages that it stored and removed, and how many are left in the queue.
// It also removes, once a day, what is left of messages that were expunged long
// ago. It is for one goroutine.
func (r *Receiver) Drain(ctx context.Context, q Queue, s Synced) (done, left int, err error) {
	if err := r.prepare(ctx); err != nil {
		return 0, 0, err
	}
	for {
		// Entries that do not open stay at the head of the list.
		limit := page + len(r.bad)
		list, err := q.Incoming(ctx, limit)
		if err != nil {
			return done, left, fmt.Errorf("listing the incoming queue: %w", err)
		}
		if len(list) < limit {
			r.forget(list)
		}
		bad := len(r.bad)
		n, err := r.drainPage(ctx, q, s, r.due(list))
		done += n
		if left = len(list) - n; err != nil || n == 0 && len(r.bad) == bad {
			return done, left, err
		}
	}
}

// prepare forgets what did not open with another key, and does the housekeeping.
func (r *Receiver) prepare(ctx context.Context) error {
	own, err := r.keys.Own(ctx)
	if err != nil {
		return fmt.Errorf("without a key nothing opens: %w", err)
	}
	if r.key != own.Fingerprint() {
		r.key = own.Fingerprint()
		clear(r.bad)
	}
	for time.Since(r.collected) >= collecting {
		n, err := r.mail.Collect(ctx, time.Now())
		if err != nil {
			return fmt.Errorf("removing expunged messages: %w", err)
		}
		if n == 0 {
			r.collected = time.Now()
		}
	}
	return nil
}

// forget drops what is no longer in the queue.
func (r *Receiver) forget(list []u1db.QueueEntry) {
	there := map[string]bool{}
	for _, e := range list {
		there[e.ID] = true
	}
	maps.DeleteFunc(r.bad, func(id string, _ failure) bool { return !there[id] })
}

// due returns the entries to be taken now, no more than fit into memory.
func (r *Receiver) due(list []u1db.QueueEntry) []u1db.QueueEntry {
	var due []u1db.QueueEntry
	size := int64(0)
	for _, e := range list {
		if f, ok := r.bad[e.ID]; ok && time.Now().Before(f.next) {
			continue
		}
		if size += e.Size; len(due) == page || len(due) > 0 && size > pageBytes {
			break
		}
		due = append(due, e)
	}
	return due
}

// drainPage takes some entries. It returns how many it removed from the queue.
func (r *Receiver) drainPage(ctx context.Context, q Queue, s Synced, list []u1db.QueueEntry) (done int, err error) {
	stored, err := r.store(ctx, q, list)
	if len(stored) == 0 {
		return 0, err
	}
	// What is stored goes on its way even if others could not be fetched.
	serr := s.Sync(ctx)
	full := errors.Is(serr, problem.Limit) // All but some documents has gone.
	if serr != nil && !full {
		return 0, errors.Join(err, fmt.Errorf("sending the sealed copies: %w", serr))
	}
	errs := make([]error, len(stored))
	each(stored, func(i int, id string) { errs[i] = r.remove(ctx, q, s, id) })
	for _, e := range errs {
		if e == nil {
			done++
		}
	}
	for i, e := range errs {
		if full && errors.Is(e, errUnconfirmed) {
			r.putOff(stored[i])
		}
	}
	errs = slices.DeleteFunc(errs, func(e error) bool { return errors.Is(e, errUnconfirmed) })
	return done, errors.Join(err, errors.Join(errs...))
}

// errUnconfirmed means that the provider has not got the sealed copy yet: the
// entry stays in the queue until it has.
var errUnconfirmed = errors.New("not confirmed")

// remove takes an entry out of the queue if its message is safe.
func (r *Receiver) remove(ctx context.Context, q Queue, s Synced, id string) error {
	safe, err := s.Confirmed(ctx, mailstore.DocIDs(id)...)
	if err != nil {
		return err
	}
	if !safe {
		return errUnconfirmed
	}
	if err := q.DeleteIncoming(ctx, id); err != nil && !errors.Is(err, problem.NotExist) {
		return fmt.Errorf("removing a message from the queue: %w", err)
	}
	return nil
}

// store puts the messages of entries into the store, in one transaction, and
// returns the ids of those that are there now. After an error of the network
// it stores what it has.
func (r *Receiver) store(ctx context.Context, q Queue, list []u1db.QueueEntry) (stored []string, err error) {
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	known, err := r.mail.Known(ctx, ids)
	if err != nil {
		return nil, err
	}
	taken := make([]taken, len(ids))
	each(ids, func(i int, id string) {
		if !known[id] {
			taken[i] = r.take(ctx, q, id)
		}
	})
	var messages []mailstore.Message
	for i, t := range taken {
		switch {
		case known[ids[i]]:
			stored = append(stored, ids[i])
		case t.sealed != nil:
			messages = append(messages, r.fail(ids[i], t.sealed))
		case errors.Is(t.err, problem.NotExist): // Another device was faster.
		case t.err != nil:
			err = errors.Join(err, t.err)
		default:
			delete(r.bad, ids[i])
			messages, stored = append(messages, t.message), append(stored, ids[i])
		}
	}
	if len(messages) == 0 {
		return stored, err
	}
	if serr := r.mail.AddAll(ctx, messages); serr != nil {
		return nil, errors.Join(err, serr)
	}
	return stored, err
}

// each calls f for all of list, some at once.
func each(list []string, f func(i int, s string)) {
	var wg sync.WaitGroup
	room := make(chan struct{}, parallel)
	for i, s := range list {
		room <- struct{}{}
		wg.Go(func() {
			f(i, s)
			<-room
		})
	}
	wg.Wait()
}
