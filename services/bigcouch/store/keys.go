package store

import (
	"bytes"
	"encoding/binary"
)

// Kinds of rows: the first byte of every key.
const (
	kindData   = 'D' // Replicated.
	kindDigest = 'H'
	kindIndex  = 'I' // Derived.
	kindLog    = 'L'
	kindNode   = 'N'
	kindStable = 'S'
	kindView   = 'V' // Derived.
)

// Tables of a database.
const (
	tabCounters = 'c'
	tabDoc      = 'd'
	tabBody     = 'b'
	tabSeq      = 's'
	tabChunk    = 't'
	tabDigest   = 'u'
	tabLocal    = 'l'
	tabIndexes  = 'x'
	tabPurge    = 'g'
)

// Tables of a shard, under database 0.
const (
	tabApplied   = 'A'
	tabOp        = 'o'
	tabOpExpiry  = 'p'
	tabUpload    = 'v'
	tabCatalogue = 'm'
)

// A place is a database in its shard: what all its keys begin with.
type place struct {
	shard uint16
	db    uint64
}

func (p place) key(kind, table byte, parts ...[]byte) []byte {
	n := 12
	for _, part := range parts {
		n += len(part)
	}
	k := make([]byte, 0, n)
	k = append(k, kind)
	k = binary.BigEndian.AppendUint16(k, p.shard)
	k = binary.BigEndian.AppendUint64(k, p.db)
	k = append(k, table)
	for _, part := range parts {
		k = append(k, part...)
	}
	return k
}

func (p place) counters() []byte       { return p.key(kindData, tabCounters) }
func (p place) indexes() []byte        { return p.key(kindData, tabIndexes) }
func (p place) doc(id string) []byte   { return p.key(kindData, tabDoc, []byte(id)) }
func (p place) local(id string) []byte { return p.key(kindData, tabLocal, []byte(id)) }
func (p place) seq(n uint64) []byte    { return p.key(kindData, tabSeq, u64(n)) }
func (p place) purge(n uint64) []byte  { return p.key(kindData, tabPurge, u64(n)) }

func (p place) body(id string, r Rev) []byte {
	return p.key(kindData, tabBody, terminated([]byte(id)), u64(uint64(r.Gen)), []byte(r.id))
}

func (p place) chunk(b BlobID, n uint32) []byte {
	return p.key(kindData, tabChunk, b[:], binary.BigEndian.AppendUint32(nil, n))
}

func (p place) digest(d [32]byte) []byte { return p.key(kindData, tabDigest, d[:]) }

func (p place) upload(b BlobID) []byte {
	return place{shard: p.shard}.key(kindData, tabUpload, u64(p.db), b[:])
}

// shardSpan returns the range of all rows of kind in a shard. The start has room
// for the rest of a key.
func shardSpan(kind byte, shard uint16) (start, end []byte) {
	start = binary.BigEndian.AppendUint16(append(make([]byte, 0, 32), kind), shard)
	return start, after(start)
}

// span returns the range of all rows of kind in this database.
func (p place) span(kind byte) (start, end []byte) {
	start = p.key(kind, 0)[:11]
	return start, after(start)
}

// table returns the range of a table.
func (p place) table(t byte) (start, end []byte) {
	start = p.key(kindData, t)
	return start, after(start)
}

// blob returns the range of the chunks of an attachment.
func (p place) blob(b BlobID) (start, end []byte) {
	start = p.key(kindData, tabChunk, b[:])
	return start, after(start)
}

func (p place) indexRows(ix IndexID) (start, end []byte) {
	start = append(p.key(kindIndex, ix[0], ix[1:]), 'r')
	return start, after(start)
}

func (p place) indexProgress(ix IndexID) []byte {
	return append(p.key(kindIndex, ix[0], ix[1:]), 'p')
}

func (p place) index(ix IndexID) (start, end []byte) {
	start = p.key(kindIndex, ix[0], ix[1:])
	return start, after(start)
}

func catalogueKey(name string) []byte {
	return place{}.key(kindData, tabCatalogue, []byte(name))
}

func nodeKey(name string) []byte { return append([]byte{kindNode}, name...) }

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// after returns the first key that does not begin with prefix, which has a
// byte below 0xff.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// terminated returns s in a form that is no prefix of another's.
func terminated(s []byte) []byte {
	return append(bytes.ReplaceAll(s, []byte{0}, []byte{0, 0xff}), 0, 0)
}
