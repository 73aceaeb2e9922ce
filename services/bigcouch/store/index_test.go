package store

import (
	"fmt"
	"testing"
)

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
	for ; !build(t, s, ix); steps++ {
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
	b.delete(testDB.place().indexProgress(ix))
	b.set(append(testDB.place().key(kindIndex, 0), "garbage"...), []byte{1})
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	for !build(t, s, ix) {
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

func build(t *testing.T, s *Store, ix IndexID) (done bool) {
	t.Helper()
	done, err := s.BuildIndex(testDB, ix)
	if err != nil {
		t.Fatal(err)
	}
	return done
}
