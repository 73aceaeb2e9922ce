package couch

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/go-kivik/kivik/v4"

	"leap.example/services/protocol/problem"
)

// A database is one database and what its documents are called in errors.
type database struct {
	db    *DB
	kivik *kivik.DB
	name  string
	noun  string
	stale bool // An old answer is better than none.
}

// meta are the members of every document.
type meta struct {
	ID        string   `json:"_id"`
	Rev       string   `json:"_rev,omitempty"`
	Deleted   bool     `json:"_deleted,omitempty"`
	Conflicts []string `json:"_conflicts,omitempty"` // Only where asked for.
}

// get decodes a document into v; NotExist when it is not there.
func (d database) get(ctx context.Context, id string, v any, options ...kivik.Option) error {
	err := d.read(ctx, func(ctx context.Context) error {
		doc := d.kivik.Get(ctx, id, options...)
		defer doc.Close()
		if doc.Err() != nil {
			return doc.Err()
		}
		return doc.ScanDoc(v)
	})
	return d.failed("reading", err)
}

// create stores a new document under an id that nobody may have twice: of two
// callers one gets Exist.
func (d database) create(ctx context.Context, id string, doc any) (rev string, err error) {
	rev, err = d.put(ctx, id, doc)
	if problem.KindOf(err) == problem.Stale {
		return "", problem.Exist.Errorf("%s exists", d.noun)
	}
	return rev, err
}

// update stores a document that carries the revision it was read with; Stale
// when it was changed since: of two callers one wins.
func (d database) update(ctx context.Context, id string, doc any) (rev string, err error) {
	return d.put(ctx, id, doc)
}

// put stores a document. Where a write might have been done before its
// conflict was answered, the document is read back and compared with what was
// sent; where two nodes may both have accepted an edit, the loser withdraws
// his (database.md sections 12 and 13).
func (d database) put(ctx context.Context, id string, doc any) (rev string, err error) {
	body, err := json.Marshal(doc)
	if err != nil {
		return "", err
	}
	err = attempts(ctx, func(ctx context.Context, unclear bool) error {
		var err error
		rev, err = d.kivik.Put(ctx, id, json.RawMessage(body))
		if unclear && isStatus(err, http.StatusConflict) {
			if have, ok := d.holds(ctx, id, body); ok {
				rev, err = have, nil
			}
		}
		return err
	})
	if err == nil && d.db.external {
		err = d.defend(ctx, id, rev)
	}
	return rev, d.failed("storing", err)
}

// holds reports whether the document is what was sent.
func (d database) holds(ctx context.Context, id string, sent []byte) (rev string, ok bool) {
	doc := d.kivik.Get(ctx, id, kivik.Param("r", readFresh))
	defer doc.Close()
	var have map[string]any
	if doc.Err() != nil || doc.ScanDoc(&have) != nil {
		return "", false
	}
	rev, _ = have["_rev"].(string)
	return rev, sameContent(have, sent)
}

// sameContent compares the members that a writer decides.
func sameContent(have map[string]any, sent []byte) bool {
	var want map[string]any
	if json.Unmarshal(sent, &want) != nil {
		return false
	}
	for _, m := range []map[string]any{have, want} {
		delete(m, "_id")
		delete(m, "_rev")
		delete(m, "_attachments")
	}
	return reflect.DeepEqual(have, want)
}

// defend reads back what was stored as rev. A document may have more than one
// edit of the same revision; the one that all nodes show is the winner.
func (d database) defend(ctx context.Context, id, rev string) error {
	var have meta
	err := d.get(ctx, id, &have, kivik.Param("r", readFresh), kivik.Param("conflicts", true))
	if err != nil || have.Rev == rev || len(have.Conflicts) == 0 {
		return err
	}
	if err := d.remove(ctx, id, rev); err != nil {
		return err
	}
	return problem.Stale.Errorf("%s was changed meanwhile", d.noun)
}

// remove deletes a document in the given revision; Stale when it has another.
// A document that is gone is removed.
func (d database) remove(ctx context.Context, id, rev string) error {
	err := attempts(ctx, func(ctx context.Context, _ bool) error {
		_, err := d.kivik.Delete(ctx, id, rev)
		if isStatus(err, http.StatusNotFound) {
			return nil
		}
		if isStatus(err, http.StatusConflict) {
			doc := d.kivik.Get(ctx, id, kivik.Param("r", readFresh))
			defer doc.Close()
			if isStatus(doc.Err(), http.StatusNotFound) {
				return nil
			}
		}
		return err
	})
	return d.failed("deleting", err)
}

// note stores a document, whatever was there: a note of this node (_local), or
// an entry of a cache.
func (d database) note(ctx context.Context, id string, doc any) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		return err
	}
	for range maxAttempts {
		var have meta
		switch err = d.get(ctx, id, &have); problem.KindOf(err) {
		case problem.NotExist:
			delete(body, "_rev")
		default:
			if err != nil {
				return err
			}
			body["_rev"] = have.Rev
		}
		if _, err = d.put(ctx, id, body); problem.KindOf(err) != problem.Stale {
			return err
		}
	}
	return err
}

// A result is what became of one document of a bulk request.
type result struct {
	rev     string
	stale   bool
	refused error // The database does not take it: as a rule it is too large.
}

// bulk stores several documents, each for itself and none twice. The results are
// in the order of docs. With an error of its own none or some were stored.
func (d database) bulk(ctx context.Context, docs []any) ([]result, error) {
	if len(docs) == 0 {
		return nil, nil
	}
	bodies := make([]json.RawMessage, len(docs))
	place := make(map[string]int, len(docs)) // By id: some databases answer in another order.
	for i, doc := range docs {
		b, err := json.Marshal(doc)
		if err != nil {
			return nil, err
		}
		var m meta
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		bodies[i], place[m.ID] = b, i
	}
	var out []result
	err := attempts(ctx, func(ctx context.Context, unclear bool) error {
		sent := make([]any, len(bodies)) // kivik writes into it.
		for i, b := range bodies {
			sent[i] = b
		}
		rows, err := d.kivik.BulkDocs(ctx, sent)
		if err != nil {
			return err
		}
		out = make([]result, len(docs))
		seen := map[int]bool{}
		for _, row := range rows {
			i, known := place[row.ID]
			if !known {
				return errRefused
			}
			seen[i] = true
			switch {
			case row.Error == nil:
				out[i].rev = row.Rev
			case !isStatus(row.Error, http.StatusConflict):
				out[i].refused = d.failed("storing", errRefused)
			case unclear:
				rev, ok := d.holds(ctx, row.ID, bodies[i])
				out[i] = result{rev: rev, stale: !ok}
			default:
				out[i].stale = true
			}
		}
		if len(seen) != len(docs) {
			return errRefused
		}
		return nil
	})
	return out, d.failed("storing", err)
}
