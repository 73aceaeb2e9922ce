package keymanager

import (
	"context"
	"errors"
	"time"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const (
	recheck  = 24 * time.Hour // How long a known key is used unasked.
	negative = time.Hour      // How long "no key" is believed.
)

// Find returns the key to encrypt to for a, and how far it is believed. It
// looks in the store first and asks when the key is unknown, expired, or was
// not asked for since a day. NotExist: there is no usable key. Unavailable:
// nobody could be asked and none is known; the message must wait, because
// sending it in clear now would be what an attacker on the line wants.
func (k *Keys) Find(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	return k.find(ctx, a.Base(), k.lookup, checkedBucket)
}

// FindQuiet is Find for reading mail: it asks the account's own provider at
// most. The domain of an author, who may be anybody, does not learn that, when
// and from where his message is read. That it finds no key says nothing to Find.
func (k *Keys) FindQuiet(ctx context.Context, a nick.Address) (nick.Key, nick.Level, error) {
	lookup := k.lookup
	if l, ok := lookup.(interface{ Quiet() Lookup }); ok {
		lookup = l.Quiet()
	}
	return k.find(ctx, a.Base(), lookup, quietBucket)
}

func (k *Keys) find(ctx context.Context, a nick.Address, lookup Lookup, bucket string) (nick.Key, nick.Level, error) {
	if a == k.address {
		own, err := k.Own(ctx)
		if err != nil {
			return nick.Key{}, nick.NoTrust, err
		}
		return own.key, nick.Compared, nil
	}
	p, checked, err := k.known(ctx, a, bucket)
	if err != nil && !notExist(err) {
		return nick.Key{}, nick.NoTrust, err
	}
	life := recheck
	if !p.usable(k.now()) || err != nil {
		life = negative
	}
	if age := k.now().Sub(checked); age < 0 || age >= life {
		key, level, lookupErr := lookup.Lookup(ctx, a)
		if p, err = k.answered(ctx, a, bucket, key, level, lookupErr); err != nil && !notExist(err) {
			return nick.Key{}, nick.NoTrust, err
		}
		if lookupErr != nil && !notExist(lookupErr) && (err != nil || !p.usable(k.now())) {
			return nick.Key{}, nick.NoTrust, lookupErr
		}
	}
	if err != nil || !p.usable(k.now()) {
		return nick.Key{}, nick.NoTrust, problem.NotExist.Errorf("no usable key is known")
	}
	key, err := nick.ParseKey(p.Armored)
	return key, p.level(), err
}

// known returns the pin of a and when a was last looked up, as bucket says.
func (k *Keys) known(ctx context.Context, a nick.Address, bucket string) (p pin, checked time.Time, err error) {
	var pinErr error
	err = k.store.View(ctx, func(tx *soledad.Tx) error {
		p, pinErr = pinOf(tx, a)
		note, err := tx.LocalGet(bucket, string(a))
		if notExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return checked.UnmarshalText(note)
	})
	return p, checked, errors.Join(err, pinErr)
}

// answered stores the outcome of a lookup and returns the pin that results.
func (k *Keys) answered(ctx context.Context, a nick.Address, bucket string, key nick.Key, level nick.Level, lookupErr error) (p pin, err error) {
	withdrawn, isRevoked := errors.AsType[*nick.RevokedError](lookupErr)
	var pinErr error
	err = k.store.Update(ctx, func(tx *soledad.Tx) error {
		if lookupErr == nil || notExist(lookupErr) || isRevoked {
			note, err := k.now().UTC().MarshalText()
			if err != nil {
				return err
			}
			if err := tx.LocalPut(bucket, string(a), note); err != nil {
				return err
			}
		}
		if lookupErr == nil {
			p, pinErr = k.accept(tx, a, key, level)
			return pinErr
		}
		p, pinErr = pinOf(tx, a)
		if isRevoked && pinErr == nil && p.Fingerprint == withdrawn.Fingerprint && !p.Revoked {
			p.Revoked = true
			return p.put(tx)
		}
		return nil
	})
	return p, errors.Join(err, pinErr)
}

// accept applies the upgrade rule to a key that was offered for a and returns
// the pin that is in force.
func (k *Keys) accept(tx *soledad.Tx, a nick.Address, key nick.Key, level nick.Level) (pin, error) {
	old, err := pinOf(tx, a)
	fresh := newPin(a, key, level)
	if notExist(err) {
		return fresh, fresh.put(tx)
	}
	if err != nil {
		return pin{}, err
	}
	if old.Fingerprint == fresh.Fingerprint {
		p := mergePin(old, fresh)
		return p, p.put(tx)
	}
	rule := fresh.rule()
	if certified(key, old.Armored) {
		rule.CertifiedBy = old.Fingerprint
	}
	before := old.rule()
	if old.Revoked { // As good as expired.
		before.Expires = k.now()
	}
	if ok, _ := nick.CanReplace(before, rule, k.now()); !ok {
		old.Refused = fresh.Fingerprint
		return old, old.put(tx)
	}
	return fresh, fresh.put(tx)
}

// Learn offers a key that came with a message (Autocrypt, an attachment:
// level Seen) or that the user compared (Compared). The upgrade rule decides
// whether it is taken; not taken is no error. A key that is malformed or does
// not claim a is Invalid.
func (k *Keys) Learn(ctx context.Context, a nick.Address, armored string, level nick.Level) error {
	a = a.Base()
	key, err := nick.ParseKey(armored)
	if key, level, err = claimed(key, level, err, a); err != nil {
		return err
	}
	if a == k.address {
		return nil // Nobody tells us our own key.
	}
	return k.store.Update(ctx, func(tx *soledad.Tx) error {
		_, err := k.accept(tx, a, key, level)
		return err
	})
}
