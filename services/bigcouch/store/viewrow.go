package store

import (
	"encoding/binary"
	"slices"
)

// A ViewID names the rows of a view: of this map, in this version of package
// order and of the rows' form. Views with one map share them.
type ViewID [8]byte

// A ViewState is how far the rows of a view have come.
type ViewState struct {
	Seq    uint64 // Update sequence of the last change that was looked at.
	Purged uint64 // Number of the last purge that was looked at.
	Rows   uint64
}

// An Emit is one row that a map has made of a document.
type Emit struct {
	Order      []byte // The key as package order has it.
	Key, Value []byte // JSON.
}

// A ViewRow is a row of a view where it lies.
type ViewRow struct {
	At         []byte // Its place: what Span means. It begins with Order.
	ID         string // Of the document.
	Key, Value []byte // JSON.
}

// Rows of the table of a view.
const (
	viewRows  = 'r' // Order, terminated id, number of the row in the document.
	viewDoc   = 'd' // Id -> places of its rows.
	viewState = 'p'
)

func (p place) view(id ViewID) (start, end []byte) {
	start = p.key(kindView, id[0], id[1:])
	return start, after(start)
}

func (p place) viewTable(id ViewID, table byte, parts ...[]byte) []byte {
	k := append(p.key(kindView, id[0], id[1:]), table)
	for _, part := range parts {
		k = append(k, part...)
	}
	return k
}

// ViewPlace returns what the places of a document's rows with a key begin
// with.
func ViewPlace(order []byte, id string) []byte {
	return append(slices.Clone(order), terminated([]byte(id))...)
}

// viewPlace returns the place of row n of a document.
func viewPlace(order []byte, id string, n int) []byte {
	return binary.BigEndian.AppendUint32(ViewPlace(order, id), uint32(n))
}

func (s ViewState) encode() []byte {
	b := binary.AppendUvarint(nil, s.Seq)
	b = binary.AppendUvarint(b, s.Purged)
	return binary.AppendUvarint(b, s.Rows)
}

func parseViewState(data string) (ViewState, error) {
	r := row{s: data}
	s := ViewState{r.uint(), r.uint(), r.uint()}
	return s, r.err
}

func encodeViewRow(id string, e Emit) []byte {
	b := make([]byte, 0, len(e.Key)+len(id)+len(e.Value)+8)
	b = appendString(b, string(e.Key))
	b = appendString(b, id)
	return append(b, e.Value...)
}

func parseViewRow(at, value []byte) (ViewRow, error) {
	r := row{s: string(value)}
	v := ViewRow{At: slices.Clone(at), Key: []byte(r.string()), ID: r.string()}
	v.Value = []byte(r.s)
	return v, r.err
}

func encodePlaces(places [][]byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(places)))
	for _, p := range places {
		b = appendString(b, string(p))
	}
	return b
}

func parsePlaces(data string) (places [][]byte, err error) {
	r := row{s: data}
	for range r.count() {
		places = append(places, []byte(r.string()))
	}
	return places, r.err
}
