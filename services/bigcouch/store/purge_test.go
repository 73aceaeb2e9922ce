package store

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// modelKeep is how many purges the model's database remembers.
const modelKeep = 3

// purge purges random revisions of a document, in the store and in the model.
func (m *model) purge(t *rapid.T, b *Batch, id string) {
	d := m.docs[id]
	all := slices.SortedFunc(maps.Keys(d.leaves), Rev.compare)
	all = append(all, slices.SortedFunc(maps.Keys(d.inner), Rev.compare)...) // Has no effect.
	all = append(all, Rev{7, "none"})
	revs := rapid.SliceOfN(rapid.SampledFrom(all), 1, 3).Draw(t, "purged")
	var want []Rev
	for _, r := range revs {
		if _, leaf := d.leaves[r]; leaf {
			want = append(want, r)
			delete(d.leaves, r)
		}
	}
	r, err := b.Apply(next(b), Entry{Cmd: Purge{DB: testDB.ID, Keep: modelKeep, Docs: []PurgeDoc{{ID: id, Revs: revs}}}})
	if err != nil || r.Err != nil {
		t.Fatalf("purging: %v, %v", err, r.Err)
	}
	got := slices.SortedFunc(slices.Values(r.Purged[0]), Rev.compare)
	if slices.SortFunc(want, Rev.compare); !slices.Equal(got, want) {
		t.Fatalf("purged %v of %q, want %v", got, id, want)
	}
	if want == nil {
		return
	}
	m.purged++
	if len(d.leaves) == 0 {
		delete(m.docs, id)
		return
	}
	m.seq++
	d.seq = m.seq
	inner := map[Rev]bool{}
	for leaf := range d.leaves {
		for r, ok := d.parent[leaf]; ok; r, ok = d.parent[r] {
			inner[r] = true
		}
	}
	d.inner = inner
}

// What is purged leaves the index, and whoever derives something from
// documents hears of it as long as it is remembered.
func TestPurges(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	define := Doc{ID: "_design/i", Body: []byte(`{"language":"query","views":{"n":{"options":{"def":{"fields":[{"n":"asc"}]}}}}}`)}
	commit(t, s, Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Docs: []Doc{define}}})
	var revs []Rev
	for _, id := range []string{"a", "b", "c", "d"} {
		r := commit(t, s, Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Docs: []Doc{{ID: id, Body: []byte(`{"n":1}`)}}}})
		revs = append(revs, r[0].Docs[0].Rev)
	}
	rows := func() (n int) {
		v := s.View()
		defer v.Close()
		indexes, err := s.Indexes(v, testDB)
		if err != nil || len(indexes) != 1 {
			t.Fatalf("indexes: %v, %v", indexes, err)
		}
		for _, err := range v.Rows(testDB, indexes[0].ID, Span{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n := rows(); n != 4 {
		t.Fatalf("%d rows in the index, want 4", n)
	}
	for i, id := range []string{"a", "b", "c"} {
		commit(t, s, Entry{Cmd: Purge{DB: testDB.ID, Keep: 2, Docs: []PurgeDoc{{id, revs[i : i+1]}}}})
	}
	if n := rows(); n != 1 {
		t.Errorf("%d rows in the index, want 1", n)
	}
	v := s.View()
	defer v.Close()
	for _, tt := range []struct {
		since uint64
		ids   []string
		all   bool
	}{
		{3, nil, true}, {2, []string{"c"}, true}, {1, []string{"b", "c"}, true}, {0, []string{"b", "c"}, false}, {9, nil, true},
	} {
		if ids, all, err := v.Purges(testDB, tt.since); err != nil || !slices.Equal(ids, tt.ids) || all != tt.all {
			t.Errorf("purges since %d: %v, %v, %v; want %v, %v", tt.since, ids, all, err, tt.ids, tt.all)
		}
	}
	if d, err := v.Document(testDB, "a"); d != nil || err != nil {
		t.Errorf("purged document: %v, %v", d, err)
	}
	if r := commit(t, s, Entry{Cmd: Purge{DB: 99, Docs: []PurgeDoc{{"a", revs}}}}); r[0].Err != ErrNoDatabase {
		t.Errorf("purging in a database that is not there: %v", r[0].Err)
	}
}

// Rows of counters of before purging are read.
func TestOldCounters(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	b, err := s.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	b.set(testDB.place().counters(), []byte{3, 1, 7, 40, 0})
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	defer v.Close()
	if info, err := v.Info(testDB); err != nil || *info != (Info{Docs: 3, Deleted: 1, Seq: 7, Size: 40}) {
		t.Errorf("info = %+v, %v", info, err)
	}
}

func TestLocals(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	for _, id := range []string{"a", "b", "c"} {
		commit(t, s, Entry{Cmd: WriteLocal{DB: testDB.ID, ID: id, Body: []byte(`{}`)}})
	}
	v := s.View()
	defer v.Close()
	for _, tt := range []struct {
		in   Span
		want string
	}{
		{Span{}, "abc"}, {Span{Descending: true}, "cba"}, {Span{Start: []byte("b")}, "bc"}, {Span{End: []byte("b")}, "a"}, {Span{Start: []byte("d")}, ""},
	} {
		var got strings.Builder
		for l, err := range v.Locals(testDB, tt.in) {
			if err != nil || l.Rev != "0-1" || string(l.Body) != "{}" {
				t.Fatalf("local document %+v, %v", l, err)
			}
			got.WriteString(l.ID)
		}
		if got.String() != tt.want {
			t.Errorf("%+v: %q, want %q", tt.in, got.String(), tt.want)
		}
	}
}

func TestUpdates(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer s.Close()
	write := func(id string) {
		commit(t, s, Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Docs: []Doc{{ID: id, Body: []byte("{}")}}}})
	}
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	write("before anybody asks")
	list, seq, all, changed := s.Updates(0)
	if len(list) != 0 || seq != 0 || !all {
		t.Fatalf("at first: %v, %d, %v", list, seq, all)
	}
	write("a")
	select {
	case <-changed:
	default:
		t.Error("an update wakes nobody")
	}
	write("b")
	if list, seq, all, _ = s.Updates(0); len(list) != 1 || list[0] != (Update{Seq: 2, DB: testDB.ID, Type: Updated}) || seq != 2 || !all {
		t.Errorf("after two writes: %v, %d, %v", list, seq, all)
	}
	if list, _, all, _ = s.Updates(2); len(list) != 0 || !all {
		t.Errorf("after the last: %v, %v", list, all)
	}
	if _, _, all, _ = s.Updates(3); all {
		t.Error("a future update is known")
	}
	for i := range uint64(maxUpdates + 1) {
		s.updates.add(nil, []Update{{DB: 1000 + i, Name: "x", Type: Created}})
	}
	if list, _, all, _ = s.Updates(2); all || len(list) > maxUpdates {
		t.Errorf("%d updates are remembered, all %v", len(list), all)
	}
}
