package store

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"slices"
)

// A blobSeen is the bytes of an attachment while they are read.
type blobSeen struct {
	id     BlobID
	sha    hash.Hash
	md5    hash.Hash
	length int64
	chunks uint32
	last   int  // Size of the latest chunk.
	wrong  bool // Chunks are missing, or not as long as they should be.
}

// attachments checks that every attachment that leaves name is there as often
// as they do, and no other, and that its bytes are what its digest says.
func (d *inspection) attachments() {
	blobs := map[BlobID][32]byte{}
	start, end := d.p.table(tabDigest)
	d.walk(start, end, d.at, func(key, value []byte) {
		d.r.Attachments++
		r := row{s: string(value)}
		var blob BlobID
		copy(blob[:], r.take(16))
		refs := r.uint()
		if len(key) != len(start)+32 || r.err != nil {
			d.wrong("", "malformed row of an attachment: %x", key)
			return
		}
		digest := [32]byte(key[len(start):])
		blobs[blob] = digest
		seen := d.atts[digest]
		switch {
		case seen == nil:
			d.wrong("", "attachment %x: %d references are counted, and there is none", digest[:8], refs)
		case seen.refs != refs:
			d.wrong("", "attachment %x: %d references are counted, and there are %d", digest[:8], refs, seen.refs)
		case seen.length == 0 && (digest != sha256.Sum256(nil) || seen.md5 != md5.Sum(nil)):
			d.wrong("", "attachment %x is empty, and its digest is not that of nothing", digest[:8])
		}
		if seen != nil {
			seen.refs = 0 // It has a row.
		}
	})
	for digest, seen := range d.atts {
		if seen.refs > 0 && d.err == nil {
			d.wrong("", "attachment %x is named %d times, and not there", digest[:8], seen.refs)
		}
	}
	d.chunks(blobs)
	for blob, digest := range blobs {
		if seen := d.atts[digest]; seen != nil && seen.length > 0 && d.err == nil {
			d.wrong("", "attachment %x: none of its bytes are there (blob %x)", digest[:8], blob[:4])
		}
	}
}

// chunks reads the bytes of attachments, and takes those that are complete out
// of blobs.
func (d *inspection) chunks(blobs map[BlobID][32]byte) {
	start, end := d.p.table(tabChunk)
	var b *blobSeen
	d.walk(start, end, d.at, func(key, value []byte) {
		if len(key) != len(start)+16+4 {
			d.wrong("", "malformed key of a chunk: %x", key)
			return
		}
		if id := key[len(start) : len(start)+16]; b == nil || !bytes.Equal(b.id[:], id) {
			d.blob(b, blobs)
			b = &blobSeen{id: BlobID(id), sha: sha256.New(), md5: md5.New(), last: ChunkSize}
		}
		n := binary.BigEndian.Uint32(key[len(key)-4:])
		b.wrong = b.wrong || n != b.chunks || b.last != ChunkSize || len(value) > ChunkSize
		b.chunks++
		b.last = len(value)
		b.length += int64(len(value))
		b.sha.Write(value)
		b.md5.Write(value)
	})
	d.blob(b, blobs)
}

// blob compares bytes with what is said of them.
func (d *inspection) blob(b *blobSeen, blobs map[BlobID][32]byte) {
	if b == nil || d.err != nil {
		return
	}
	digest, known := blobs[b.id]
	if !known {
		if upload, err := d.get(d.p.upload(b.id)); err == nil && upload == "" {
			d.wrong("", "%d bytes are of no attachment (blob %x)", b.length, b.id[:4])
		}
		return
	}
	delete(blobs, b.id)
	seen := d.atts[digest]
	switch {
	case b.wrong:
		d.wrong("", "attachment %x: a chunk is missing, or has a wrong size", digest[:8])
	case [32]byte(b.sha.Sum(nil)) != digest:
		d.wrong("", "attachment %x: its SHA-256 is %x", digest[:8], b.sha.Sum(nil)[:8])
	case seen != nil && (seen.length != b.length || seen.md5 != [16]byte(b.md5.Sum(nil))):
		d.wrong("", "attachment %x: its length or MD5 is not what documents say", digest[:8])
	}
}

// indexed checks that a document is in the indexes that are complete.
func (d *inspection) indexed(doc *Document, body Body) {
	if len(d.built) == 0 {
		return
	}
	c, err := content(doc.ID, doc.Rev, body.JSON)
	if err != nil {
		return // A finding already.
	}
	for _, x := range d.set.indexes {
		if _, complete := d.built[x.ID]; !complete {
			continue
		}
		if key := d.p.indexKey(x, c, doc.ID); key != nil {
			d.built[x.ID]++
			if id, err := d.get(key); err != nil || id != doc.ID {
				d.wrong(doc.ID, "it is not in the index %s", x.Name)
			}
		}
	}
}

// indexRows checks that indexes have no other rows, and that their definitions
// are those of the design documents.
func (d *inspection) indexRows() {
	for _, x := range d.set.indexes {
		want, complete := d.built[x.ID]
		if !complete {
			continue
		}
		rows := 0
		start, end := d.p.indexRows(x.ID)
		d.walk(start, end, d.at, func([]byte, []byte) { rows++ })
		if rows != want && d.err == nil {
			d.wrong("", "the index %s has %d rows, and should have %d", x.Name, rows, want)
		}
	}
	same := func(a, b indexDef) bool {
		x, _ := json.Marshal(a) // A definition that was read can be written.
		y, _ := json.Marshal(b)
		return bytes.Equal(x, y)
	}
	byName := func(a, b indexDef) int { return cmp.Or(cmp.Compare(a.DDoc, b.DDoc), cmp.Compare(a.Name, b.Name)) }
	have := slices.SortedFunc(slices.Values(d.set.row.Indexes), byName)
	slices.SortFunc(d.defs, byName)
	if !slices.EqualFunc(have, d.defs, same) && d.err == nil {
		d.wrong("", "the definitions of its indexes are not those of its design documents")
	}
}
