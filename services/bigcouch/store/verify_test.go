package store

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// catalogued enters testDB into the catalogue.
func catalogued(t interface{ Fatal(...any) }, s *Store) {
	b, err := s.Batch(CatalogueShard)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Command{CreateDatabase{*testDB}, SetState{Name: testDB.Name, DB: testDB.ID, State: Live}} {
		if _, err := b.Apply(next(b), Entry{Cmd: c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
}

// verified returns what Verify finds in a store.
func verified(t interface{ Fatal(...any) }, s *Store) []string {
	r, err := s.Verify(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range r.Findings {
		list = append(list, f.String())
	}
	return list
}

const chunky = ChunkSize + 100

// everyRow writes rows of every kind there is into a store.
func everyRow(t *testing.T, s *Store) {
	t.Helper()
	catalogued(t, s)
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	blob := byte(0)
	put := func(d Doc) Rev { return commit(t, s, Entry{Cmd: write(d)})[0].Docs[0].Rev }
	put(ddoc("i", `{"fields":["n"],"partial_filter_selector":{"n":{"$gt":1}}}`))
	for i := range 20 {
		rev := put(Doc{ID: fmt.Sprintf("doc%02d", i), Body: fmt.Appendf(nil, `{"n":%d}`, i)})
		if i%3 == 0 {
			put(Doc{ID: fmt.Sprintf("doc%02d", i), Rev: rev, Body: []byte(`{"n":9}`), Atts: []NewAtt{attOf("a", "small", &blob)}})
		}
	}
	put(Doc{ID: "big", Body: fmt.Appendf(nil, `{"n":%q}`, strings.Repeat("b", inlineMax+1))})
	put(Doc{ID: "empty", Body: []byte(`{}`), Atts: []NewAtt{attOf("none", "", &blob)}})
	data := strings.Repeat("c", chunky)
	large := NewAtt{Att: Att{Name: "large", Type: "x/y", Digest: sha256.Sum256([]byte(data)), MD5: md5.Sum([]byte(data)), Length: chunky}, Blob: BlobID{77}}
	commit(t, s,
		Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: large.Blob, N: 0, Data: []byte(data[:ChunkSize])}},
		Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: large.Blob, N: 1, Data: []byte(data[ChunkSize:])}},
		Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: BlobID{78}, N: 0, Data: []byte("unfinished")}})
	put(Doc{ID: "large", Body: []byte(`{}`), Atts: []NewAtt{large}})
	for _, name := range []string{"x", "y"} { // Two leaves.
		commit(t, s, Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Replicated: true, Docs: []Doc{{
			ID: "conflict\x00\xff", Path: []Rev{{2, name}, {1, "root"}}, Body: []byte(`{"n":3}`),
		}}}})
	}
	gone := put(Doc{ID: "gone", Body: []byte(`{}`)})
	put(Doc{ID: "gone", Rev: gone, Deleted: true, Body: []byte(`{}`)})
	purged := put(Doc{ID: "purged", Body: []byte(`{}`)})
	commit(t, s,
		Entry{Cmd: Purge{DB: testDB.ID, Keep: 3, Docs: []PurgeDoc{{ID: "purged", Revs: []Rev{purged}}}}},
		Entry{Cmd: WriteLocal{DB: testDB.ID, ID: "checkpoint", Body: []byte(`{"l":1}`)}},
		Entry{Op: OpID{9}, Time: 1000, Cmd: write(Doc{ID: "op", Body: []byte(`{}`)})})
	v := s.View()
	defer v.Close()
	indexes, err := s.Indexes(v, testDB)
	if err != nil || len(indexes) != 1 {
		t.Fatal(indexes, err)
	}
	for !build(t, s, indexes[0].ID) {
	}
	log := s.Log(1)
	if err := log.Append(7, [][]byte{[]byte("seven"), []byte("eight"), []byte("nine")}); err != nil {
		t.Fatal(err)
	}
	if err := s.TakeDigest(nil, 1); err != nil {
		t.Fatal(err)
	}
}

// Each kind of damage that checksums do not see is found, and named.
func TestVerify(t *testing.T) {
	p := testDB.place()
	row := func(t *testing.T, s *Store, key []byte) string {
		data, err := source{r: s.db}.get(key)
		if err != nil || data == "" {
			t.Fatalf("row %x: %q, %v", key, data, err)
		}
		return data
	}
	document := func(t *testing.T, s *Store, id string) *Document {
		d, err := source{r: s.db}.document(p, id)
		if err != nil || d == nil {
			t.Fatal(d, err)
		}
		if _, err := d.Tree(); err != nil {
			t.Fatal(err)
		}
		return d
	}
	count := func(t *testing.T, s *Store, f func(*counters)) []byte {
		c, err := source{r: s.db}.counters(p)
		if err != nil {
			t.Fatal(err)
		}
		f(c)
		return c.encode()
	}
	large := sha256.Sum256([]byte(strings.Repeat("c", chunky)))
	small := sha256.Sum256([]byte("small"))
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, s *Store, b *pebble.Batch)
		want string
	}{
		{"nothing", func(*testing.T, *Store, *pebble.Batch) {}, ""},
		{"row of a document", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.doc("doc01"), []byte(row(t, s, p.doc("doc01"))[:9]), nil)
		}, `"doc01": malformed row`},
		{"document gone", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(p.doc("doc01"), nil) }, `"doc01": there is a change`},
		{"winner", func(t *testing.T, s *Store, b *pebble.Batch) {
			d := document(t, s, "conflict\x00\xff")
			d.Rev = Rev{2, "x"}
			b.Set(p.doc(d.ID), d.encode(), nil)
		}, "the winner is 2-y"},
		{"leaf with children", func(t *testing.T, s *Store, b *pebble.Batch) {
			d := document(t, s, "conflict\x00\xff")
			d.tree[0].Leaf = true
			b.Set(p.doc(d.ID), d.encode(), nil)
		}, "is a leaf and has children"},
		{"order of revisions", func(t *testing.T, s *Store, b *pebble.Batch) {
			d := document(t, s, "conflict\x00\xff")
			d.tree[1], d.tree[2] = d.tree[2], d.tree[1]
			d.tree[1].parent, d.tree[2].parent = "", ""
			b.Set(p.doc(d.ID), d.encode(), nil)
		}, "out of order"},
		{"body gone", func(t *testing.T, s *Store, b *pebble.Batch) { b.Delete(p.body("big", document(t, s, "big").Rev), nil) }, `"big": the body of revision`},
		{"body of a conflict gone", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Delete(p.body("conflict\x00\xff", Rev{2, "x"}), nil)
		}, "the body of revision 2-x is not there"},
		{"body malformed", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.body("big", document(t, s, "big").Rev), []byte("\x00[]"), nil)
		}, `"big": the body of revision`},
		{"body of nothing", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(p.body("nobody", Rev{1, "x"}), []byte("\x00{}"), nil)
		}, `"nobody": there is a body`},
		{"body too many", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(p.body("doc00", Rev{1, "x"}), []byte("\x00{}"), nil)
		}, "which needs none"},
		{"change gone", func(t *testing.T, s *Store, b *pebble.Batch) { b.Delete(p.seq(document(t, s, "doc01").Seq), nil) }, `"doc01": the row of changes`},
		{"change too many", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.seq(999), []byte(row(t, s, p.seq(document(t, s, "doc01").Seq))), nil)
		}, `"doc01": there is a change at 999`},
		{"change of other leaves", func(t *testing.T, s *Store, b *pebble.Batch) {
			d := document(t, s, "doc01")
			b.Set(p.seq(d.Seq), append([]byte(row(t, s, p.seq(d.Seq))), 0), nil)
		}, `"doc01": the row of changes`},
		{"documents", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.counters(), count(t, s, func(c *counters) { c.Docs++ }), nil)
		}, "it counts 27 documents, and has 26"},
		{"tombstones", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.counters(), count(t, s, func(c *counters) { c.Deleted = 0 }), nil)
		}, "it counts 0 tombstones, and has 1"},
		{"size", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.counters(), count(t, s, func(c *counters) { c.Size-- }), nil)
		}, " bytes, and has "},
		{"sequence", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.counters(), count(t, s, func(c *counters) { c.Seq = 2 }), nil)
		}, "the database is at 2"},
		{"indexes", func(t *testing.T, s *Store, b *pebble.Batch) {
			b.Set(p.counters(), count(t, s, func(c *counters) { c.Indexes = 7 }), nil)
		}, "it counts 7 indexes"},
		{"purge", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(p.purge(8), []byte("x"), nil) }, `"x": purge 8 of 1`},
		{"counters gone", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(p.counters(), nil) }, "it is not open"},
		{"counters malformed", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(p.counters(), []byte{0x80}, nil) }, "counters cannot be read"},
		{"chunk gone", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(p.chunk(BlobID{77}, 0), nil) }, "a chunk is missing"},
		{"last chunk gone", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(p.chunk(BlobID{77}, 1), nil) }, "its SHA-256 is"},
		{"chunk changed", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(p.chunk(BlobID{77}, 1), []byte(strings.Repeat("d", 100)), nil)
		}, fmt.Sprintf("attachment %x: its SHA-256 is", large[:8])},
		{"all chunks gone", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.DeleteRange(p.chunk(BlobID{77}, 0), p.chunk(BlobID{77}, 9), nil)
		}, "none of its bytes"},
		{"chunks of nothing", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(p.chunk(BlobID{99}, 0), []byte("x"), nil) }, "1 bytes are of no attachment"},
		{"attachment gone", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(p.digest(small), nil) }, "is named 7 times, and not there"},
		{"references", func(t *testing.T, s *Store, b *pebble.Batch) {
			data := []byte(row(t, s, p.digest(small)))
			b.Set(p.digest(small), binary.AppendUvarint(slices.Clone(data[:16]), 8), nil)
		}, "8 references are counted, and there are 7"},
		{"attachment of nobody", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(p.digest([32]byte{1}), append(make([]byte, 16), 1), nil)
		}, "1 references are counted, and there is none"},
		{"local document", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(p.local("checkpoint"), []byte("\x011x"), nil) }, `"_local/checkpoint": malformed`},
		{"index row gone", func(t *testing.T, s *Store, b *pebble.Batch) {
			v := s.View()
			defer v.Close()
			indexes, _ := s.Indexes(v, testDB)
			start, end := p.indexRows(indexes[0].ID)
			key := (&verifier{source: source{r: s.db}, r: &Report{}}).next(start, end)
			b.Delete(key, nil)
			b.Set(append(start, 1, 2, 3), []byte("zzz"), nil)
		}, "it is not in the index x"},
		{"index row too many", func(t *testing.T, s *Store, b *pebble.Batch) {
			v := s.View()
			defer v.Close()
			indexes, _ := s.Indexes(v, testDB)
			start, _ := p.indexRows(indexes[0].ID)
			b.Set(append(start, 1, 2, 3), []byte("zzz"), nil)
		}, "the index x has"},
		{"definitions", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(p.indexes(), []byte(`{"indexes":[{"ddoc":"i","name":"other","index":{"fields":["n"]}}]}`), nil)
		}, "definitions of its indexes"},
		{"unknown table", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(p.key(kindData, 'z'), []byte("x"), nil) }, "is of no table"},
		{"unknown table of the shard", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			b.Set(place{shard: 1}.key(kindData, 'z'), []byte("x"), nil)
		}, "is of no table"},
		{"not in the catalogue", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Delete(catalogueKey("db"), nil) }, "not in the catalogue"},
		{"not in its shard", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			start, end := p.span(kindData)
			b.DeleteRange(start, end, nil)
		}, "not in its shard"},
		{"catalogue", func(_ *testing.T, _ *Store, b *pebble.Batch) { b.Set(catalogueKey("db"), []byte("{"), nil) }, "malformed row of the catalogue"},
		{"answer", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			op := OpID{9}
			b.Set(place{shard: 1}.key(kindData, tabOp, op[:]), []byte("x"), nil)
		}, "malformed answer"},
		{"expiry", func(_ *testing.T, _ *Store, b *pebble.Batch) {
			op := OpID{9}
			b.Delete(place{shard: 1}.key(kindData, tabOp, op[:]), nil)
		}, "expiry of an operation that is not there"},
		{"log", func(_ *testing.T, s *Store, b *pebble.Batch) { b.Delete(s.Log(1).key(8), nil) }, "nothing between 7 and 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := openMem(t, vfs.NewMem())
			defer s.Close()
			everyRow(t, s)
			b := s.db.NewBatch()
			tt.do(t, s, b)
			if err := b.Commit(pebble.Sync); err != nil {
				t.Fatal(err)
			}
			got := verified(t, s)
			if tt.want == "" && len(got) > 0 {
				t.Errorf("findings in a sound store: %q", got)
			}
			if tt.want != "" && !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, tt.want) }) {
				t.Errorf("no finding says %q: %q", tt.want, got)
			}
		})
	}
}
