package director

import (
	"context"
	"errors"
	"strings"

	"leap.example/image/provider"
	"leap.example/updater/tufrepo"
)

// Rotate changes who the admins are, and how many have to sign; 0: as many as before.
func (d *Director) Rotate(ctx context.Context, add, remove []string, threshold int) (*Outcome, error) {
	keys, err := adminKeys(d.i, add)
	if err != nil {
		return nil, err
	}
	name, err := d.name("admins")
	if err != nil {
		return nil, err
	}
	var who []string
	for _, n := range add {
		who = append(who, "+"+n)
	}
	for _, n := range remove {
		who = append(who, "-"+n)
	}
	e, err := d.repo.Rotate(name, "other admins: "+strings.Join(who, " "), tufrepo.KeyChange{Roles: []string{"root", "targets", "allow"}, Add: keys, Remove: remove, Threshold: threshold}, d.now())
	return d.begin(ctx, e, err)
}

// Replace gives the daily job another key: somebody who had the one before is no
// operator any more.
func (d *Director) Replace(ctx context.Context) (*Outcome, error) {
	old, err := online(d.v, onlineKey)
	if err != nil {
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

// release publishes with the online key: the one that the event brings, if it does.
func (d *Director) release(ctx context.Context, name string) error {
	s, err := online(d.v, onlineKey)
	if err != nil {
		return err
	}
	err = d.repo.Publish(ctx, name, s, d.now(), nil)
	if !errors.Is(err, tufrepo.ErrNotSigner) {
		return err
	}
	next, err2 := online(d.v, onlineNew)
	if errors.Is(err2, provider.ErrNoSecret) {
		return err
	}
	if err2 != nil {
		return err2
	}
	text, err := d.v.Get(onlineNew)
	if err != nil {
		return err
	}
	if err := d.repo.Publish(ctx, name, next, d.now(), nil); err != nil {
		return err
	}
	return d.v.Put(onlineKey, text)
}
