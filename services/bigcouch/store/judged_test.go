package store

import "testing"

func judgedBy(t *testing.T, s *Store) uint64 {
	t.Helper()
	v := s.View()
	defer v.Close()
	judged, err := v.Judged(testDB)
	if err != nil || judged == 0 {
		t.Fatalf("judged %d, %v", judged, err)
	}
	return judged
}

// A list that was judged by other design documents than those that are there
// where it stands in the log is not written, however they have changed.
func TestJudged(t *testing.T) {
	s := newestStore(t)
	made := 0
	judged := func(by uint64) WriteDocs {
		made++
		w := write(Doc{ID: string(rune('a'+made)) + "doc", Body: []byte("{}")})
		w.Judged = by
		return w
	}
	var rev Rev
	for _, change := range []struct {
		what string
		cmd  func() Command
	}{
		{"made", func() Command { return write(Doc{ID: "_design/a", Body: []byte("{}")}) }},
		{"edited", func() Command { return write(Doc{ID: "_design/a", Rev: rev, Body: []byte(`{"n":1}`)}) }},
		{"deleted", func() Command { return write(Doc{ID: "_design/a", Rev: rev, Deleted: true, Body: []byte("{}")}) }},
		{"made again", func() Command { return write(Doc{ID: "_design/a", Body: []byte("{}")}) }},
		{"replicated", func() Command {
			w := write(Doc{ID: "_design/b", Path: []Rev{{1, "b"}}, Body: []byte("{}")})
			w.Replicated = true
			return w
		}},
		{"purged", func() Command {
			return Purge{DB: testDB.ID, Keep: 1, Docs: []PurgeDoc{{ID: "_design/b", Revs: []Rev{{1, "b"}}}}}
		}},
	} {
		before := judgedBy(t, s)
		if r := commit(t, s, Entry{Cmd: judged(before)})[0]; r.Err != nil || r.Docs[0].Err != nil {
			t.Fatalf("before one was %s: %+v", change.what, r)
		}
		// Both in one batch: it sees itself.
		results := commit(t, s, Entry{Cmd: change.cmd()}, Entry{Cmd: judged(before)})
		if len(results[0].Docs) > 0 {
			rev = results[0].Docs[0].Rev
		}
		if results[1].Err != ErrJudged || results[1].Docs != nil {
			t.Errorf("after one was %s: %+v", change.what, results[1])
		}
		if r := commit(t, s, Entry{Cmd: judged(before)})[0]; r.Err != ErrJudged {
			t.Errorf("later, after one was %s: %+v", change.what, r)
		}
		if judgedBy(t, s) == before {
			t.Errorf("nothing shows that one was %s", change.what)
		}
	}
	before := judgedBy(t, s)
	commit(t, s, Entry{Cmd: write(Doc{ID: "_design/a", Body: []byte("{}")}, Doc{ID: "other", Body: []byte("{}")})})
	if judgedBy(t, s) != before {
		t.Error("a conflict counts, or a document that decides nothing")
	}
}

// That a list must be judged anew is no answer to keep, and does not take away
// one that there is. What was uploaded for it stays.
func TestJudgedAnew(t *testing.T) {
	s := newestStore(t)
	before := judgedBy(t, s)
	blob := BlobID{1}
	commit(t, s, Entry{Cmd: WriteChunk{DB: testDB.ID, Blob: blob, Data: []byte("x")}}, Entry{Cmd: write(Doc{ID: "_design/a", Body: []byte("{}")})})
	w := write(
		Doc{ID: "a", Body: []byte("{}"), Atts: []NewAtt{{Att: Att{Name: "x", Length: 1, Digest: [32]byte{1}}, Blob: blob}}},
		Doc{ID: "b", Refused: &Refusal{"forbidden", "no"}},
	)
	w.Judged = before
	op := OpID{7}
	if r := commit(t, s, Entry{Op: op, Cmd: w})[0]; r.Err != ErrJudged {
		t.Fatalf("judged by the former: %+v", r)
	}
	w.Judged = judgedBy(t, s)
	first := commit(t, s, Entry{Op: op, Cmd: w})[0]
	if first.Err != nil || first.Docs[0].Err != nil || first.Docs[1].Err == nil || *first.Docs[1].Err != (Refusal{"forbidden", "no"}) {
		t.Fatalf("judged anew: %+v", first)
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "_design/b", Body: []byte("{}")})})
	// Whoever judges it the second time, and by whatever, the answer is the first one.
	w.Docs[0], w.Docs[1] = Doc{ID: "a", Refused: &Refusal{"forbidden", "late"}}, Doc{ID: "b", Body: []byte("{}")}
	again := commit(t, s, Entry{Op: op, Cmd: w})[0]
	if again.Docs[0] != first.Docs[0] || *again.Docs[1].Err != *first.Docs[1].Err {
		t.Errorf("repeated: %+v, first %+v", again, first)
	}
}
