package store

import (
	"cmp"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A finder reads for a batch. Most writes are of documents and operations that
// are not there yet: to know that, Pebble's Get reads a block of the lowest
// level, whose filters it passes over. An iterator asks those filters too, and
// one serves the whole batch. It sees nothing of the batch itself; what that
// has written is looked up as ever. Nobody else writes into the shard while it
// has a batch.
type finder struct {
	*pebble.Batch
	db         *pebble.DB
	start, end []byte // The rows of the shard that are replicated.
	it         *pebble.Iterator
	written    map[string]struct{} // Keys of documents and operations.
	ranges     bool                // The batch has deleted ranges.
}

func newFinder(b *pebble.Batch, db *pebble.DB, shard uint16) *finder {
	f := &finder{Batch: b, db: db, written: map[string]struct{}{}}
	f.start, f.end = shardSpan(kindData, shard)
	return f
}

// rare reports whether a key is one that is asked for when it is not there.
func rare(key []byte) bool {
	return len(key) > 12 && key[0] == kindData && (key[11] == tabDoc || key[11] == tabOp)
}

// wrote notes that the batch has written a row, or deleted it.
func (f *finder) wrote(key []byte) {
	if rare(key) {
		f.written[string(key)] = struct{}{}
	}
}

// Get implements pebble.Reader. The value is valid until the next call.
func (f *finder) Get(key []byte) ([]byte, io.Closer, error) {
	if _, written := f.written[string(key)]; written || f.ranges || !rare(key) {
		return f.Batch.Get(key)
	}
	if f.it == nil {
		var err error
		if f.it, err = f.db.NewIter(&pebble.IterOptions{LowerBound: f.start, UpperBound: f.end, UseL6Filters: true}); err != nil {
			return nil, nil, err
		}
	}
	if !f.it.SeekPrefixGE(key) {
		return nil, nil, cmp.Or(f.it.Error(), pebble.ErrNotFound)
	}
	v, err := f.it.ValueAndErr()
	return v, held{}, err
}

// held closes what lives as long as the finder.
type held struct{}

// Close implements io.Closer.
func (held) Close() error { return nil }

// release lets go of what the finder reads from. It is not used any more.
func (f *finder) release() error {
	if f.it == nil {
		return nil
	}
	it := f.it
	f.it = nil
	return it.Close()
}
