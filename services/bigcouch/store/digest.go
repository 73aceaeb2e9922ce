package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/cockroachdb/pebble/v2"
)

// A Digest in the log makes every replica of the shard take the digest of what
// it holds at that place (Store.TakeDigest). It changes nothing by itself.
type Digest struct{ Nonce uint64 }

func (Digest) apply(*Batch) (Result, error) { return Result{}, nil }

// A Snapshot holds a shard as it was at one moment, to be hashed or sent to
// another place. The caller closes it, if it is not part of a Moment.
type Snapshot struct {
	source
	Head  Head
	shard uint16
	done  <-chan struct{} // Nil: never.
}

// ErrCutShort means that a shard was not read to its end.
var ErrCutShort = errors.New("reading the shard was cut short")

// Until has what reads the shard fail with ErrCutShort once done is closed.
func (s *Snapshot) Until(done <-chan struct{}) { s.done = done }

// Snapshot takes one of now.
func (s *Store) Snapshot(shard uint16) (*Snapshot, error) {
	m := s.Moment()
	snap, err := m.Shard(shard)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return snap, nil
}

// Close releases it.
func (s *Snapshot) Close() error { return s.r.Close() }

// A Moment holds the whole store as it was at one moment.
type Moment struct{ source }

// Moment takes one of now. The caller closes it. When a shard is replaced as a
// whole (Install), what was taken before answers service_unavailable.
func (s *Store) Moment() *Moment { return &Moment{s.View().source} }

// Close releases the moment, and with it the shards that were taken of it.
func (m *Moment) Close() error { return m.r.Close() }

// Shard returns a shard as it was at the moment.
func (m *Moment) Shard(n uint16) (*Snapshot, error) {
	h, err := m.head(n)
	return &Snapshot{source: m.source, Head: h, shard: n}, err
}

// rows calls f for everything that is replicated in the shard, in order.
func (s *Snapshot) rows(f func(key, value []byte) error) error {
	start, end := shardSpan(kindData, s.shard)
	return s.each(start, end, func(key, value []byte) (bool, error) {
		select {
		case <-s.done:
			return false, ErrCutShort
		default:
			return true, f(key, value)
		}
	})
}

// Sum hashes all keys and values in order: equal on equal replicas, also when
// their disks are sealed with different keys. It reads every block, so that
// every checksum of the shard is looked at as well.
func (s *Snapshot) Sum() (sum [32]byte, err error) {
	h := sha256.New()
	err = s.rows(func(key, value []byte) error {
		hashPart(h, key)
		hashPart(h, value)
		return nil
	})
	return [32]byte(h.Sum(nil)), err
}

func hashPart(h hash.Hash, part []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(part)))
	h.Write(n[:])
	h.Write(part)
}

// TakeDigest takes and keeps the digest of a shard as it is now, unless done is
// closed before.
func (s *Store) TakeDigest(done <-chan struct{}, shard uint16) error {
	snap, err := s.Snapshot(shard)
	if err != nil {
		return err
	}
	snap.Until(done)
	sum, err := snap.Sum()
	if err == nil {
		err = s.SaveDigest(shard, snap.Head.Index, sum)
	}
	return errors.Join(err, snap.Close())
}

// SaveDigest keeps the digest of a shard at an index, and forgets earlier ones.
func (s *Store) SaveDigest(shard uint16, index uint64, sum [32]byte) error {
	start, _ := shardSpan(kindDigest, shard)
	key := append(start, u64(index)...)
	b := s.db.NewBatch()
	return errors.Join(b.DeleteRange(start, key, nil), b.Set(key, sum[:], nil), b.Commit(pebble.NoSync))
}

// Digest returns the latest digest that was kept of a shard, if there is one.
func (s *Store) Digest(shard uint16) (index uint64, sum [32]byte, ok bool, err error) {
	start, end := shardSpan(kindDigest, shard)
	err = source{r: s.db}.each(start, end, func(key, value []byte) (bool, error) {
		if len(key) != 11 || len(value) != len(sum) {
			return false, errRow
		}
		index, ok = binary.BigEndian.Uint64(key[3:]), true
		copy(sum[:], value)
		return true, nil
	})
	return index, sum, ok, err
}
