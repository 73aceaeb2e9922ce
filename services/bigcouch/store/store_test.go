package store

import (
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
	for past := int64(maxTick); past <= OpLife; past += maxTick {
		commit(t, s, Entry{Time: at + past, Cmd: write()})
	}
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
	if err != nil || len(drops) != 1 || drops[0].Drop != (DropUpload{testDB.ID, left.Blob}) {
		t.Fatalf("uploads = %v, %v", drops, err)
	}
	commit(t, s, Entry{Cmd: drops[0].Drop})
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
