package store

import "encoding/binary"

// inlineMax is the largest body, in bytes, that lies in the document's row.
const inlineMax = 4096

// docVersion begins every document row.
const docVersion = 1

// Flags of a document row.
const (
	flagDeleted = 1 << iota // The winner is a tombstone.
	flagInline              // The winner's body is in the row.
)

// Flags of a node of the tree.
const (
	nodeLeaf = 1 << iota
	nodeDeleted
)

// A Document is the row of one document: all that is known of it but the
// bodies.
type Document struct {
	ID      string
	Seq     uint64 // Update sequence of the latest change.
	Rev     Rev    // The winner.
	Deleted bool   // The winner is a tombstone.

	inline string // Body row of the winner, if it is kept here.
	nodes  row    // The tree, still encoded.
	tree   Tree
}

// parseDocument takes a row apart, except for the tree. It keeps data.
func parseDocument(id, data string) (*Document, error) {
	r := row{s: data}
	if r.byte() != docVersion {
		return nil, errRow
	}
	flags := r.byte()
	d := &Document{ID: id, Deleted: flags&flagDeleted != 0, Seq: r.uint(), Rev: r.rev()}
	if flags&flagInline != 0 {
		d.inline = r.string()
	}
	d.nodes = r
	return d, r.err
}

// Tree returns the revisions. The caller does not change them.
func (d *Document) Tree() (Tree, error) {
	if d.tree != nil {
		return d.tree, nil
	}
	r := d.nodes
	t := make(Tree, 0, r.count())
	gen := uint64(0)
	for range cap(t) {
		gen += r.uint()
		n := Node{Rev: Rev{int(gen), r.string()}}
		if up := r.uint(); up > uint64(len(t)) {
			r.fail()
		} else if up > 0 {
			n.parent = t[uint64(len(t))-up].Rev.id
		}
		flags := r.byte()
		n.Leaf, n.Deleted = flags&nodeLeaf != 0, flags&nodeDeleted != 0
		t = append(t, n)
	}
	if r.err != nil || len(t) == 0 {
		return nil, errRow
	}
	d.tree = t
	return t, nil
}

// encode returns the row of d, whose tree is set.
func (d *Document) encode() []byte {
	b := make([]byte, 2, 64+len(d.inline)+24*len(d.tree))
	b[0] = docVersion
	if d.Deleted {
		b[1] |= flagDeleted
	}
	b = binary.AppendUvarint(b, d.Seq)
	b = appendRev(b, d.Rev)
	if d.inline != "" {
		b[1] |= flagInline
		b = appendString(b, d.inline)
	}
	b = binary.AppendUvarint(b, uint64(len(d.tree)))
	gen := 0
	for i, n := range d.tree {
		b = binary.AppendUvarint(b, uint64(n.Rev.Gen-gen))
		gen = n.Rev.Gen
		b = appendString(b, n.Rev.id)
		up := 0
		if want := (Rev{n.Rev.Gen - 1, n.parent}); n.parent == "" {
			up = 0
		} else if d.tree[i-1].Rev == want {
			up = 1
		} else {
			up = i - d.tree.find(want)
		}
		b = binary.AppendUvarint(b, uint64(up))
		var flags byte
		if n.Leaf {
			flags |= nodeLeaf
		}
		if n.Deleted {
			flags |= nodeDeleted
		}
		b = append(b, flags)
	}
	return b
}

// A Body is the content of a leaf.
type Body struct {
	JSON []byte // An object, without the members that begin with "_".
	Atts []Att
}

// A BlobID names stored attachment bytes. The proposer draws it.
type BlobID [16]byte

// An Att is an attachment of a revision.
type Att struct {
	Name   string
	Type   string   // Media type.
	Digest [32]byte // SHA-256 of the bytes.
	MD5    [16]byte // What CouchDB shows as digest.
	Length int64    // Bytes.
	RevPos int      // Generation that brought it.
}

func (b Body) encode() []byte {
	e := binary.AppendUvarint(make([]byte, 0, len(b.JSON)+96*len(b.Atts)+2), uint64(len(b.Atts)))
	for _, a := range b.Atts {
		e = appendString(e, a.Name)
		e = appendString(e, a.Type)
		e = append(e, a.Digest[:]...)
		e = append(e, a.MD5[:]...)
		e = binary.AppendUvarint(e, uint64(a.Length))
		e = binary.AppendUvarint(e, uint64(a.RevPos))
	}
	return append(e, b.JSON...)
}

func parseBody(data string) (Body, error) {
	r := row{s: data}
	var b Body
	for range r.count() {
		a := Att{Name: r.string(), Type: r.string()}
		copy(a.Digest[:], r.take(32))
		copy(a.MD5[:], r.take(16))
		a.Length, a.RevPos = int64(r.uint()), int(r.uint())
		b.Atts = append(b.Atts, a)
	}
	b.JSON = []byte(r.s)
	return b, r.err
}

// size is what the body counts in the size of its database.
func (b Body) size() int64 {
	n := int64(len(b.JSON))
	for _, a := range b.Atts {
		n += a.Length
	}
	return n
}
