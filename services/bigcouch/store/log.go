package store

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// A Log is the log of a shard, and the few values that its protocol must not
// forget, on this node: rows of kinds L and S. What an entry means is the
// protocol's to know. One goroutine at a time may write.
type Log struct {
	s     *Store
	shard uint16
}

// Log returns the log of a shard.
func (s *Store) Log(shard uint16) *Log { return &Log{s, shard} }

func (l *Log) key(index uint64) []byte {
	start, _ := shardSpan(kindLog, l.shard)
	return append(start, u64(index)...)
}

// Bounds returns the first and the last index, zeros when the log is empty.
func (l *Log) Bounds() (first, last uint64, err error) {
	start, end := shardSpan(kindLog, l.shard)
	it, err := l.s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return 0, 0, err
	}
	if it.First() {
		first = binary.BigEndian.Uint64(it.Key()[3:])
	}
	if it.Last() {
		last = binary.BigEndian.Uint64(it.Key()[3:])
	}
	return first, last, it.Close()
}

// Get returns an entry, nil when it is not there.
func (l *Log) Get(index uint64) ([]byte, error) {
	v, closer, err := l.s.db.Get(l.key(index))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := append([]byte(nil), v...)
	return data, closer.Close()
}

// Append stores entries from an index on, durably.
func (l *Log) Append(from uint64, entries [][]byte) error {
	b := l.s.db.NewBatch()
	defer b.Close()
	for i, e := range entries {
		if err := b.Set(l.key(from+uint64(i)), e, nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

// Delete removes the entries from first to last. It need not be durable: the
// store's own log keeps it behind everything that was written before.
func (l *Log) Delete(first, last uint64) error {
	return l.s.db.DeleteRange(l.key(first), l.key(last+1), pebble.NoSync)
}

func (l *Log) valueKey(name []byte) []byte {
	start, _ := shardSpan(kindStable, l.shard)
	return append(start, name...)
}

// Value returns a value, "" when it was never set.
func (l *Log) Value(name []byte) (string, error) { return source{r: l.s.db}.get(l.valueKey(name)) }

// SetValue stores a value durably.
func (l *Log) SetValue(name, value []byte) error {
	return l.s.db.Set(l.valueKey(name), value, pebble.Sync)
}

// Head returns how far the shard has come.
// An error is ErrVersion if it is of a version that is not known here.
func (s *Store) Head(shard uint16) (Head, error) {
	h, err := source{r: s.db}.head(shard)
	if err == nil {
		err = s.knows(shard, h)
	}
	return h, err
}

// Shards returns the shards that something is kept of, in their order.
func (s *Store) Shards() ([]uint16, error) { return source{r: s.db}.shards() }

func (s source) shards() (list []uint16, err error) {
	for _, kind := range []byte{kindData, kindLog} {
		for start, end := []byte{kind}, []byte{kind + 1}; start != nil; {
			from := start
			start = nil
			err = errors.Join(err, s.each(from, end, func(key, _ []byte) (bool, error) {
				if len(key) < 3 {
					return false, errRow
				}
				n := binary.BigEndian.Uint16(key[1:])
				if !slices.Contains(list, n) {
					list = append(list, n)
				}
				_, start = shardSpan(kind, n)
				return false, nil
			}))
		}
	}
	slices.Sort(list)
	return list, err
}
