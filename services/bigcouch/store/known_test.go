package store

import (
	"fmt"
	"testing"
)

// What is remembered of the catalogue is what a new view says, whatever happens.
func TestDatabaseIsRemembered(t *testing.T) {
	s := newStore(t)
	check := func(when string) {
		t.Helper()
		for range 2 { // The first may read what the second remembers.
			v := s.View()
			want, err := v.Database("db")
			v.Close()
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Database("db")
			if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s: %+v, %v, want %+v", when, got, err, want)
			}
		}
	}
	catalogue := func(c Command) {
		t.Helper()
		b, err := s.Batch(CatalogueShard)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := b.Apply(next(b), Entry{Cmd: c}); err != nil || r.Err != nil {
			t.Fatal(r.Err, err)
		}
		check("while it changes")
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("after %T", c))
	}
	check("before")
	catalogue(CreateDatabase{Database: Database{Name: "db", ID: testDB.ID, Shard: 1, RevsLimit: 1000}})
	catalogue(SetState{Name: "db", DB: testDB.ID, State: Live})
	catalogue(SetSecurity{Name: "db", DB: testDB.ID, Security: []byte(`{}`)})
	b, err := s.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	b.Refound(1, 1, nil, 7)
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	check("in another epoch")
	if d, err := s.Database("db"); err != nil || d.Epoch != 7 {
		t.Errorf("epoch of %+v, %v; want 7", d, err)
	}
	catalogue(ForgetDatabase{Name: "db", DB: testDB.ID})
	if err := s.DropShard(CatalogueShard); err != nil {
		t.Fatal(err)
	}
	check("without a catalogue")
}

// The number of a database's design documents is another one when one of them
// has changed, and stays where none has.
func TestDesigns(t *testing.T) {
	s := newStore(t)
	at := func() uint64 { return s.Designs(testDB) }
	before := at()
	changes := func(what string, want bool) {
		t.Helper()
		if now := at(); (now != before) != want {
			t.Errorf("%s: number %d after %d", what, now, before)
		} else {
			before = now
		}
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "a", Body: []byte("{}")}, Doc{ID: "_desig", Body: []byte("{}")})})
	changes("other documents", false)
	rev := commit(t, s, Entry{Cmd: write(Doc{ID: "_design/a", Body: []byte("{}")})})[0].Docs[0].Rev
	changes("a new one", true)
	commit(t, s, Entry{Cmd: write(Doc{ID: "_design/a", Body: []byte("{}")})})
	changes("a conflict", false)
	rev = commit(t, s, Entry{Cmd: write(Doc{ID: "_design/a", Rev: rev, Deleted: true, Body: []byte("{}")})})[0].Docs[0].Rev
	changes("a deletion", true)
	commit(t, s, Entry{Cmd: Purge{DB: testDB.ID, Keep: 1, Docs: []PurgeDoc{{ID: "_design/a", Revs: []Rev{rev}}}}})
	changes("a purge", true)
	if err := s.DropShard(1); err != nil {
		t.Fatal(err)
	}
	changes("another copy of the shard", true)
}
