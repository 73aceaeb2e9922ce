package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/order"
)

func newStore(t *testing.T) *Store {
	s := openMem(t, vfs.NewMem())
	t.Cleanup(func() { s.Close() })
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	return s
}

func write(docs ...Doc) WriteDocs { return WriteDocs{DB: testDB.ID, RevsLimit: 1000, Docs: docs} }

// Two edits of one revision in one batch: the second sees the first.
func TestBatchSeesItself(t *testing.T) {
	s := newStore(t)
	first := commit(t, s, Entry{Cmd: write(Doc{ID: "a", Body: []byte("{}")})})[0].Docs[0].Rev
	edit := func(n int) Entry {
		return Entry{Cmd: write(Doc{ID: "a", Rev: first, Body: fmt.Appendf(nil, `{"n":%d}`, n)})}
	}
	r := commit(t, s, edit(1), edit(2))
	if r[0].Docs[0].Err != nil || r[1].Docs[0].Err != ErrConflict {
		t.Errorf("results %v, %v; want one success and one conflict", r[0].Docs[0].Err, r[1].Docs[0].Err)
	}
}

func TestOpID(t *testing.T) {
	s := newStore(t)
	op := OpID{1}
	at := int64(1_000_000)
	put := Entry{Op: op, Time: at, Cmd: write(Doc{ID: "a", Body: []byte("{}")})}
	first := commit(t, s, put)[0]
	again := commit(t, s, put, put)
	for _, r := range again {
		if r.Docs[0] != first.Docs[0] {
			t.Errorf("repeated: %+v, want %+v", r.Docs[0], first.Docs[0])
		}
	}
	other := put
	other.Op = OpID{2}
	refused := commit(t, s, other)[0].Docs[0]
	if refused.Err != ErrConflict {
		t.Errorf("another operation: %+v, want a conflict", refused)
	}
	if r := commit(t, s, other)[0].Docs[0]; r.Err == nil || *r.Err != *ErrConflict {
		t.Errorf("a refused operation, repeated: %+v", r)
	}
	// The answer is forgotten by the clocks of later entries.
	commit(t, s, Entry{Op: OpID{3}, Time: at + OpLife + 1, Cmd: write()})
	if r := commit(t, s, put)[0].Docs[0]; r.Err != ErrConflict {
		t.Errorf("after its life: %+v, want a conflict", r)
	}
	if n := s.rows(t, tabOp); n != 2 {
		t.Errorf("%d answers kept, want 2", n)
	}
}

// rows counts the rows of a global table of shard 1.
func (s *Store) rows(t *testing.T, table byte) (n int) {
	v := s.View()
	defer v.Close()
	start := place{shard: 1}.key(kindData, table)
	if err := v.each(start, after(start), func([]byte, []byte) (bool, error) { n++; return true, nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUploads(t *testing.T) {
	s := newStore(t)
	data := []byte(strings.Repeat("x", ChunkSize+10))
	blob := byte(0)
	uploaded := func() NewAtt {
		a := attOf("big", string(data), &blob)
		a.Data = nil
		commit(t, s,
			Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: a.Blob, N: 0, Data: data[:ChunkSize]}},
			Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: a.Blob, N: 1, Data: data[ChunkSize:]}})
		return a
	}
	chunks := func() (n int) {
		v := s.View()
		defer v.Close()
		start, end := testDB.place().table(tabChunk)
		if err := v.each(start, end, func([]byte, []byte) (bool, error) { n++; return true, nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	rev := commit(t, s, Entry{Cmd: write(Doc{ID: "a", Body: []byte("{}"), Atts: []NewAtt{uploaded()}})})[0].Docs[0].Rev
	if n := chunks(); n != 2 || s.rows(t, tabUpload) != 0 {
		t.Errorf("named: %d chunks, %d uploads", n, s.rows(t, tabUpload))
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "b", Body: []byte("{}"), Atts: []NewAtt{uploaded()}})})
	if n := chunks(); n != 2 {
		t.Errorf("the same bytes again: %d chunks, want 2", n)
	}
	if r := commit(t, s, Entry{Cmd: write(Doc{ID: "b", Body: []byte("{}"), Atts: []NewAtt{uploaded()}})}); r[0].Docs[0].Err != ErrConflict {
		t.Errorf("conflict: %v", r)
	}
	if n := chunks(); n != 2 || s.rows(t, tabUpload) != 0 {
		t.Errorf("after a conflict: %d chunks, %d uploads", n, s.rows(t, tabUpload))
	}
	left := uploaded()
	v := s.View()
	drops, err := v.Uploads(1)
	v.Close()
	if err != nil || len(drops) != 1 || drops[0] != (DropUpload{testDB.ID, left.Blob}) {
		t.Fatalf("uploads = %v, %v", drops, err)
	}
	commit(t, s, Entry{Cmd: drops[0]})
	commit(t, s, Entry{Cmd: write(Doc{ID: "a", Rev: rev, Deleted: true, Body: []byte("{}")})})
	if n := chunks(); n != 2 {
		t.Errorf("one reference left: %d chunks, want 2", n)
	}
	v = s.View()
	defer v.Close()
	d, err := v.Document(testDB, "b")
	if err != nil {
		t.Fatal(err)
	}
	body, err := v.Body(testDB, d, d.Rev)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 5}, {ChunkSize - 2, 5}, {ChunkSize, 10}, {ChunkSize + 9, 1}, {3, 0}} {
		var got []byte
		err := v.ReadAttachment(testDB, body.Atts[0], r[0], r[1], func(p []byte) error { got = append(got, p...); return nil })
		if err != nil || string(got) != string(data[r[0]:r[0]+r[1]]) {
			t.Errorf("bytes %d+%d: %d read, %v", r[0], r[1], len(got), err)
		}
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "b", Rev: d.Rev, Deleted: true, Body: []byte("{}")})})
	if n := chunks(); n != 0 {
		t.Errorf("no reference left: %d chunks", n)
	}
}

func ddoc(name, index string) Doc {
	return Doc{ID: "_design/" + name, Body: fmt.Appendf(nil, `{"language":"query","views":{"x":{"options":{"def":%s}}}}`, index)}
}

func found(t *testing.T, s *Store, ix IndexID) (ids []string) {
	t.Helper()
	v := s.View()
	defer v.Close()
	for row, err := range v.Rows(testDB, ix, Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.ID)
	}
	return ids
}

// Index rows follow the documents, whether they were written before or after
// the index was defined, and go with the definition.
func TestIndexRows(t *testing.T) {
	s := newStore(t)
	var revs []Rev
	for i := range 1200 {
		d := Doc{ID: fmt.Sprintf("d%04d", i), Body: fmt.Appendf(nil, `{"n":%d}`, 5000-i)}
		revs = append(revs, commit(t, s, Entry{Cmd: write(d)})[0].Docs[0].Rev)
	}
	def := commit(t, s, Entry{Cmd: write(ddoc("i", `{"fields":["n"]}`))})[0].Docs[0].Rev
	v := s.View()
	indexes, err := s.Indexes(v, testDB)
	if err != nil || len(indexes) != 1 {
		t.Fatalf("indexes = %v, %v", indexes, err)
	}
	ix := indexes[0].ID
	if built, err := v.Built(testDB, ix); built || err != nil {
		t.Errorf("built before it was: %v, %v", built, err)
	}
	v.Close()
	steps := 1
	for ; !commit(t, s, Entry{Cmd: BuildIndex{testDB.ID, ix}})[0].Done; steps++ {
		// A write between two pieces, behind and before what is built.
		commit(t, s, Entry{Cmd: write(
			Doc{ID: fmt.Sprintf("d%04d", steps), Rev: revs[steps], Body: []byte(`{"n":1}`)},
			Doc{ID: fmt.Sprintf("d%04d", 1199-steps), Rev: revs[1199-steps], Body: []byte(`{"m":1}`)})})
	}
	if steps < 3 {
		t.Errorf("built in %d steps", steps)
	}
	if ids := found(t, s, ix); len(ids) != 1200-2 || ids[0] != "d0001" || ids[2] != "d1199" {
		t.Errorf("%d rows, first %v", len(ids), ids[:3])
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "d0000", Rev: revs[0], Deleted: true, Body: []byte(`{"n":9}`)})})
	if ids := found(t, s, ix); len(ids) != 1200-3 {
		t.Errorf("%d rows after a deletion", len(ids))
	}
	// Rows of another version of package order are made anew.
	b, err := s.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := b.indexSet(&s.indexed, testDB.place())
	if err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(indexRow{order.Version + "-old", set.row.Indexes})
	if err != nil {
		t.Fatal(err)
	}
	b.set(testDB.place().indexes(), old)
	b.set(append(testDB.place().key(kindIndex, 0), "garbage"...), []byte{1})
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	for !commit(t, s, Entry{Cmd: BuildIndex{testDB.ID, ix}})[0].Done {
	}
	if ids := found(t, s, ix); len(ids) != 1200-3 {
		t.Errorf("%d rows after building anew", len(ids))
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "_design/i", Rev: def, Deleted: true, Body: []byte("{}")})})
	v = s.View()
	defer v.Close()
	start, end := testDB.place().span(kindIndex)
	if err := v.each(start, end, func(k, _ []byte) (bool, error) { return false, fmt.Errorf("left: %q", k) }); err != nil {
		t.Error(err)
	}
}

func TestFormat(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	if err := s.db.Set(nodeKey("format"), []byte("99"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(s.opts); !errors.Is(err, ErrFormat) {
		t.Errorf("opening another format: %v", err)
	}
}

// Flipped bits are seen when they are read, and keep the store closed.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: slog.New(slog.DiscardHandler)}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	for i := range 100 {
		commit(t, s, Entry{Cmd: write(Doc{ID: fmt.Sprint(i), Body: fmt.Appendf(nil, `{"x":%q}`, fmt.Sprintf("%x", make([]byte, 500)))})})
	}
	if err := errors.Join(s.db.Flush(), s.Close()); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	for _, name := range tables {
		flip(t, name)
	}
	s, err = Open(o)
	if err == nil {
		v := s.View()
		for _, e := range v.Documents(testDB, Span{}) {
			err = e
		}
		select {
		case <-s.Damaged():
			if !errors.Is(s.Damage(), ErrDamaged) {
				t.Errorf("Damage = %v", s.Damage())
			}
		default:
			t.Errorf("reading flipped bits: %v, and no damage", err)
		}
		v.Close()
		s.Close()
	}
	if _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening a damaged store: %v", err)
	}
}

// flip damages a table in its first block.
func flip(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 9)
	if _, err := f.ReadAt(b, 40); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 0x55
	}
	if _, err := f.WriteAt(b, 40); err != nil {
		t.Fatal(err)
	}
}
