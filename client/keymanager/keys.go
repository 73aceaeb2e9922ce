package keymanager

import (
	"context"
	"sync"
	"time"

	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
)

// Types of documents and names of buckets.
const (
	pinType    = "key"
	secretType = "secret"

	checkedBucket = "key-checked" // Address: time of the last lookup.
	quietBucket   = "key-quiet"   // The same of FindQuiet.
	indexBucket   = "key-index"   // Key id, 16 hex digits: address.
)

// Keys are the keys of one account. It is safe for concurrent use.
type Keys struct {
	store   *soledad.Store
	lookup  Lookup
	address nick.Address
	now     func() time.Time

	creating sync.Mutex // One Create at a time.
}

// New returns the keys in store of the account with address. It registers its
// hook and its merge rules, so it comes before any other use of the store. A
// nil now is time.Now.
func New(store *soledad.Store, lookup Lookup, address nick.Address, now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	k := &Keys{store: store, lookup: lookup, address: address.Base(), now: now}
	store.Hook(pinType, index)
	store.Merge(pinType, mergePins)
	store.Merge(secretType, mergeSecrets)
	return k
}

// An Entry is one known key, for people to see.
type Entry struct {
	Address     nick.Address
	Fingerprint string
	Level       nick.Level
	Expires     time.Time // Zero: never.
	Own         bool
	// Refused is the fingerprint of another key that was offered for the
	// address and not taken: the correspondent changed keys without telling,
	// or somebody lies.
	Refused string
}

// List returns all known keys: the own one first, then by address.
func (k *Keys) List(ctx context.Context) ([]Entry, error) {
	var list []Entry
	own, err := k.own(ctx)
	if err != nil && !notExist(err) {
		return nil, err
	}
	if err == nil {
		list = append(list, Entry{
			Address: k.address, Fingerprint: own.Fingerprint(), Level: nick.Compared, Expires: own.key.Expires, Own: true,
		})
	}
	err = k.store.View(ctx, func(tx *soledad.Tx) error {
		return tx.Each(pinType, func(d soledad.Doc) error {
			p, err := parsePin(d)
			if err == nil { // One that is damaged is as good as none.
				list = append(list, Entry{
					Address: p.Address, Fingerprint: p.Fingerprint, Level: p.level(), Expires: p.Expires, Refused: p.Refused,
				})
			}
			return nil
		})
	})
	return list, err
}
