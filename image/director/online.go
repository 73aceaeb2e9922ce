package director

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"leap.example/image/provider"
	"leap.example/services/protocol/certs"
	"leap.example/updater/tufrepo"
)

// An onlineSigner is the key of snapshot and timestamp, in memory.
type onlineSigner struct {
	public *tufrepo.PublicKey
	key    ed25519.PrivateKey
}

// online opens the key of snapshot and timestamp, by the name of its secret.
func online(v *provider.Vault, name string) (*onlineSigner, error) {
	text, err := v.Get(name)
	if err != nil {
		return nil, err
	}
	k, err := certs.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("secrets/%s.age: %w", name, err)
	}
	private, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("secrets/%s.age is no Ed25519 key", name)
	}
	public, err := tufrepo.NewPublicKey("online", private.Public())
	return &onlineSigner{public, private}, err
}

// Public implements tufrepo.Signer.
func (s *onlineSigner) Public() *tufrepo.PublicKey { return s.public }

// Sign implements tufrepo.Signer.
func (s *onlineSigner) Sign(_ context.Context, payload []byte) ([]byte, error) {
	return ed25519.Sign(s.key, payload), nil
}

// ErrKeyWaits is that another key of the daily job waits for signatures already.
var ErrKeyWaits = errors.New("another key for the daily job waits already")

// ErrKeyLost is that nobody here has the key of the daily job.
var ErrKeyLost = errors.New("neither secrets/updates.online.age nor secrets/updates.online.next.age is the key that the director's root names: take both from the directory of who has replaced it, or from a backup")

// ErrNotPublic is that nothing was published yet.
var ErrNotPublic = errors.New("the director is not public yet: init waits for signatures (leap update director status)")

// named returns which key of the daily job has one of these IDs, and its secret's
// name: the one before, or the one that is to follow it. What a root names counts, and
// not which secret was written last: between the two writes anything may happen.
func (d *Director) named(ids []string) (*onlineSigner, string, error) {
	for _, secret := range []string{onlineKey, onlineNew} {
		s, err := online(d.v, secret)
		if errors.Is(err, provider.ErrNoSecret) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if slices.Contains(ids, s.public.ID()) {
			return s, secret, nil
		}
	}
	return nil, "", ErrKeyLost
}

// daily returns the key that the public root names, and keeps it as that of the daily
// job, if a crash has kept [Director.release] from it.
func (d *Director) daily() (*onlineSigner, error) {
	ids, err := d.repo.OnlineKeys()
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, ErrNotPublic
	}
	s, secret, err := d.named(ids)
	if err != nil || secret == onlineKey {
		return s, err
	}
	text, err := d.v.Get(secret)
	if err == nil {
		err = d.v.Put(onlineKey, text)
	}
	if err != nil {
		return nil, fmt.Errorf("keeping the key of the daily job, which is public: %w; when that is mended: leap update director timestamp", err)
	}
	return s, nil
}

// release publishes with the key that the event's root names, if it brings one.
func (d *Director) release(ctx context.Context, e *tufrepo.Event) error {
	ids := e.OnlineKeys()
	if len(ids) == 0 {
		var err error
		if ids, err = d.repo.OnlineKeys(); err != nil {
			return err
		}
	}
	s, _, err := d.named(ids)
	if err != nil {
		return err
	}
	err = d.repo.Publish(ctx, e.Name, s, d.now(), nil)
	if errors.Is(err, tufrepo.ErrStale) {
		return fmt.Errorf("%w: give this one up: leap update director sign %s --drop", err, e.Name)
	}
	if err != nil {
		return err
	}
	_, err = d.daily()
	return err
}

// Replace gives the daily job another key: somebody who had the one before is no
// operator any more. While one waits for signatures it is ErrKeyWaits: the only copy
// of a key is not written over as long as a root names it.
func (d *Director) Replace(ctx context.Context) (*Outcome, error) {
	old, err := d.daily()
	if err != nil {
		return nil, err
	}
	if err := d.unclaimed(old); err != nil {
		return nil, err
	}
	text, err := provider.Need{Kind: provider.Ed25519}.New(d.now())
	if err != nil {
		return nil, err
	}
	if err := d.v.Put(onlineNew, text); err != nil {
		return nil, err
	}
	next, err := online(d.v, onlineNew)
	if err != nil {
		return nil, err
	}
	name, err := d.name("online")
	if err != nil {
		return nil, err
	}
	e, err := d.repo.Rotate(name, "another key for the daily job", tufrepo.KeyChange{
		Roles: []string{"snapshot", "timestamp"}, Add: []*tufrepo.PublicKey{next.public}, Remove: []string{old.public.ID()},
	}, d.now())
	return d.begin(ctx, e, err)
}

// unclaimed reports whether no event that waits names a key that is only in the
// secret of the next one.
func (d *Director) unclaimed(now *onlineSigner) error {
	next, err := online(d.v, onlineNew)
	if errors.Is(err, provider.ErrNoSecret) {
		return nil
	}
	if err != nil {
		return err
	}
	if next.public.ID() == now.public.ID() {
		return nil
	}
	events, err := d.repo.Events()
	if err != nil {
		return err
	}
	for _, name := range events {
		e, err := tufrepo.ReadEvent(d.repo.EventDir(name))
		if err != nil {
			return fmt.Errorf("%w: give it up: leap update director sign %s --drop", err, name)
		}
		if slices.Contains(e.OnlineKeys(), next.public.ID()) {
			return fmt.Errorf("%w, in %s: sign that (leap update director sign %s), or give it up with --drop", ErrKeyWaits, name, name)
		}
	}
	return nil
}

// Timestamp is the daily job.
func (d *Director) Timestamp(ctx context.Context) error {
	s, err := d.daily()
	if err != nil {
		return err
	}
	return d.repo.Timestamp(ctx, s, d.now())
}
