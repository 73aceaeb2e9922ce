package store

import (
	"encoding/binary"
	"slices"
)

// ChunkSize is how much of an attachment one row holds, in bytes.
const ChunkSize = 256 << 10

// WriteChunk writes chunk N of an attachment that a later WriteDocs names. A
// chunk that is not the last has ChunkSize bytes.
type WriteChunk struct {
	DB   uint64
	Blob BlobID
	N    uint32
	Data []byte
}

func (w WriteChunk) apply(b *Batch) (Result, error) {
	p := place{b.shard, w.DB}
	c, err := b.counters(p)
	if err != nil {
		return Result{}, err
	}
	if c == nil {
		return Result{Err: ErrNoDatabase}, nil
	}
	if w.N == 0 {
		began := max(0, b.clock)
		if b.head.Version == firstVersion {
			began = b.head.Time
		}
		b.set(p.upload(w.Blob), binary.AppendUvarint(nil, uint64(began)))
	}
	b.set(p.chunk(w.Blob, w.N), w.Data)
	return Result{}, nil
}

// DropUpload drops chunks that no document will name.
type DropUpload struct {
	DB   uint64
	Blob BlobID
}

func (d DropUpload) apply(b *Batch) (Result, error) {
	p := place{b.shard, d.DB}
	named, err := b.get(p.upload(d.Blob))
	if err != nil || named == "" {
		return Result{}, err
	}
	b.delete(p.upload(d.Blob))
	start, end := p.blob(d.Blob)
	return Result{}, b.each(start, end, func(key, _ []byte) (bool, error) {
		b.delete(slices.Clone(key))
		return true, nil
	})
}

// dropUploads drops what was uploaded for a document that is not written.
func (b *Batch) dropUploads(p place, d *Doc) error {
	for _, a := range d.Atts {
		if a.Stub || a.Data != nil {
			continue
		}
		if _, err := (DropUpload{p.db, a.Blob}).apply(b); err != nil {
			return err
		}
	}
	return nil
}

// abandon drops the uploads of a command that is not carried out.
func (b *Batch) abandon(c Command) error {
	w, ok := c.(WriteDocs)
	if !ok {
		return nil
	}
	for i := range w.Docs {
		if err := b.dropUploads(place{b.shard, w.DB}, &w.Docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// An attRow says where the bytes of an attachment are.
type attRow struct {
	blob BlobID
	refs uint64 // From leaves.
}

func (s source) attachment(p place, digest [32]byte) (attRow, bool, error) {
	data, err := s.get(p.digest(digest))
	if err != nil || data == "" {
		return attRow{}, false, err
	}
	r := row{s: data}
	var a attRow
	copy(a.blob[:], r.take(16))
	a.refs = r.uint()
	return a, true, r.err
}

func (b *Batch) setAttachment(p place, digest [32]byte, a attRow) {
	b.set(p.digest(digest), binary.AppendUvarint(slices.Clone(a.blob[:]), a.refs))
}

// refer counts one more reference to the attachment name of a body, and takes
// its bytes over if they are new.
func (b *Batch) refer(p place, atts []Att, in *NewAtt, name string) error {
	i := slices.IndexFunc(atts, func(a Att) bool { return a.Name == name })
	a, known, err := b.attachment(p, atts[i].Digest)
	if err != nil {
		return err
	}
	switch {
	case !known && in.Stub:
		return errRow
	case known && !in.Stub && in.Data == nil:
		if _, err := (DropUpload{p.db, in.Blob}).apply(b); err != nil {
			return err
		}
	case !known:
		a.blob = in.Blob
		if len(in.Data) > 0 {
			b.set(p.chunk(in.Blob, 0), in.Data)
		}
		if in.Data == nil {
			b.delete(p.upload(in.Blob))
		}
	}
	a.refs++
	b.setAttachment(p, atts[i].Digest, a)
	return nil
}

// release counts one reference less, and drops the bytes with the last.
func (b *Batch) release(p place, att Att) error {
	a, known, err := b.attachment(p, att.Digest)
	if err != nil {
		return err
	}
	if !known || a.refs == 0 {
		return errRow
	}
	if a.refs--; a.refs > 0 {
		b.setAttachment(p, att.Digest, a)
		return nil
	}
	b.delete(p.digest(att.Digest))
	for n := range uint32((att.Length + ChunkSize - 1) / ChunkSize) {
		b.delete(p.chunk(a.blob, n))
	}
	return nil
}
