package couch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Keycache is the database of keys of addresses in other domains, as somebody
// answered for them.
type Keycache struct{ db database }

// Keycache returns the store of foreign keys.
func (d *DB) Keycache() *Keycache { return &Keycache{d.old("keycache", "cached key")} }

// Put stores the answer for an address until expires: an armored key, or ""
// when the address has none.
func (s *Keycache) Put(ctx context.Context, addr nick.Address, armored string, expires time.Time) error {
	id := cacheID(addr)
	return s.db.note(ctx, id, record.CachedKey{ID: id, Type: "CachedKey", OpenPGP: armored, Expires: expires.UTC()})
}

// Get returns the answer for an address, "" when it has no key; NotExist when
// nobody was asked, or it is too long ago.
func (s *Keycache) Get(ctx context.Context, addr nick.Address) (armored string, err error) {
	var c record.CachedKey
	if err := s.db.get(ctx, cacheID(addr), &c); err != nil {
		return "", err
	}
	if !s.db.db.now().Before(c.Expires) {
		return "", problem.NotExist.Errorf("the cached key has expired")
	}
	return c.OpenPGP, nil
}

func cacheID(addr nick.Address) string {
	sum := sha256.Sum256([]byte(addr))
	return hex.EncodeToString(sum[:])
}
