package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"leap.example/tests/e2e/process"
)

// A shelf is some documents of one writer and what their writer was told. A
// document holds a number, 0 if it does not exist.
type shelf struct {
	name  string
	docs  [24]entry
	n     int // The last number.
	acked int // Writes.
}

// An entry is one document.
type entry struct {
	rev  string
	must int   // What the last acknowledged write wrote.
	may  []int // What was written since, nobody knows whether.
}

// content is what a document with a number holds.
func content(n int, rev string) map[string]any {
	doc := map[string]any{"n": n, "text": strings.Repeat(fmt.Sprint(n, " "), 100)}
	if rev != "" {
		doc["_rev"] = rev
	}
	return doc
}

func (s *shelf) id(i int) string { return fmt.Sprintf("%s-%02d", s.name, i) }

// run writes until ctx ends or the database goes away.
func (s *shelf) run(ctx context.Context, t *testing.T, db *process.Database) {
	for ctx.Err() == nil {
		var err error
		switch i := rand.IntN(len(s.docs)); rand.IntN(8) {
		case 0:
			err = s.remove(ctx, t, db, i)
		case 1:
			err = s.bulk(ctx, t, db)
		default:
			err = s.put(ctx, t, db, i)
		}
		if err != nil {
			return
		}
	}
}

// wrote notes the answer to a write of n.
func (s *shelf) wrote(i, n int, rev string) {
	e := &s.docs[i]
	e.must, e.may, e.rev = n, nil, rev
	if n == 0 {
		e.rev = ""
	}
	s.acked++
}

// try notes a number that may be written from now on.
func (s *shelf) try(i int) int {
	s.n++
	s.docs[i].may = append(s.docs[i].may, s.n)
	return s.n
}

func (s *shelf) put(ctx context.Context, t *testing.T, db *process.Database, i int) error {
	n := s.try(i)
	var out struct{ Rev string }
	status, err := db.Do(ctx, "PUT", "/load/"+s.id(i), content(n, s.docs[i].rev), &out)
	if err != nil {
		return err
	}
	if status != 201 {
		t.Errorf("writing a document: %d", status)
		return nil
	}
	s.wrote(i, n, out.Rev)
	return nil
}

func (s *shelf) remove(ctx context.Context, t *testing.T, db *process.Database, i int) error {
	if s.docs[i].rev == "" {
		return nil
	}
	s.docs[i].may = append(s.docs[i].may, 0)
	status, err := db.Do(ctx, "DELETE", "/load/"+s.id(i)+"?rev="+s.docs[i].rev, nil, nil)
	if err != nil {
		return err
	}
	if status != 200 {
		t.Errorf("deleting a document: %d", status)
		return nil
	}
	s.wrote(i, 0, "")
	return nil
}

// bulk writes several documents by one request.
func (s *shelf) bulk(ctx context.Context, t *testing.T, db *process.Database) error {
	var docs []map[string]any
	chosen := rand.Perm(len(s.docs))[:5]
	for _, i := range chosen {
		doc := content(s.try(i), s.docs[i].rev)
		doc["_id"] = s.id(i)
		docs = append(docs, doc)
	}
	var out []struct {
		OK  bool
		Rev string
	}
	status, err := db.Do(ctx, "POST", "/load/_bulk_docs", map[string]any{"docs": docs}, &out)
	if err != nil {
		return err
	}
	if status != 201 || len(out) != len(docs) {
		t.Errorf("writing documents: %d, %d results", status, len(out))
		return nil
	}
	for k, i := range chosen {
		if !out[k].OK {
			t.Error("writing documents: one was refused")
			continue
		}
		s.wrote(i, docs[k]["n"].(int), out[k].Rev)
	}
	return nil
}

// audit compares the shelf with what is stored, and goes on from there.
func (s *shelf) audit(t *testing.T, when string, stored map[string]document) {
	t.Helper()
	for i := range s.docs {
		e, d := &s.docs[i], stored[s.id(i)]
		switch {
		case d.N != e.must && !slices.Contains(e.may, d.N):
			t.Errorf("%s: a document holds %d, acknowledged is %d, and then tried %v", when, d.N, e.must, e.may)
		case d.N != 0 && d.Text != content(d.N, "")["text"]:
			t.Errorf("%s: a document is not whole", when)
		}
		e.must, e.may, e.rev = d.N, nil, d.Rev
	}
}

// A document is one that is stored.
type document struct {
	ID   string `json:"_id"`
	Rev  string `json:"_rev"`
	N    int    `json:"n"`
	Text string `json:"text"`
}

// documents reads all that is stored.
func documents(t *testing.T, db *process.Database) map[string]document {
	t.Helper()
	var all struct{ Rows []struct{ Doc document } }
	if status, err := db.Do(t.Context(), "GET", "/load/_all_docs?include_docs=true", nil, &all); err != nil || status != 200 {
		t.Fatalf("reading the database: %d, %v", status, err)
	}
	stored := map[string]document{}
	for _, row := range all.Rows {
		stored[row.Doc.ID] = row.Doc
	}
	return stored
}
