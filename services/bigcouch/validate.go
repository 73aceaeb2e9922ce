package bigcouch

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// Design documents decide about writes before they are proposed, on the node
// that took the request and by what it has then. What a document was before the
// edit is known for sure: the edit names its revision, and the log refuses it
// if that is no longer a leaf. What design documents say is not: a write that
// crosses a new one in the network may be judged without it.

// A judge lets design documents decide about a list of writes.
type judge struct {
	*call
	v       *store.View // Nil where nobody decides.
	designs []*design
	session *view.Session // Nil until JavaScript runs.
	user    []byte        // userCtx and security object, JSON.
	secures []byte
}

// writeAs enters documents that design documents allow, and returns what became
// of all.
func (c *call) writeAs(op store.OpID, docs []store.Doc, replicated bool) ([]store.DocResult, error) {
	refused, docs, err := c.judge(docs, replicated)
	if err != nil {
		return nil, errors.Join(err, c.abandon(docs...))
	}
	kept := docs
	if refused != nil {
		kept = nil
		var label strings.Builder // What is left is another operation than the whole.
		label.WriteString("allowed")
		for i, d := range docs {
			if refused[i] == nil {
				kept = append(kept, d)
				label.WriteString(" " + strconv.Itoa(i))
				continue
			}
			if err := c.abandon(d); err != nil {
				return nil, err
			}
		}
		op = derived(op, label.String())
	}
	entered, err := c.enter(op, kept, replicated)
	if err != nil {
		return nil, err
	}
	if len(entered) != len(kept) {
		return nil, fmt.Errorf("%d results of %d documents", len(entered), len(kept))
	}
	var results []store.DocResult
	for i, d := range docs {
		if refused != nil && refused[i] != nil {
			results = append(results, store.DocResult{ID: d.ID, Err: refused[i]})
			continue
		}
		results = append(results, entered[0])
		entered = entered[1:]
	}
	return results, c.forgetViews(results)
}

// forgetViews drops rows of views whose design document has changed.
func (c *call) forgetViews(results []store.DocResult) error {
	for _, r := range results {
		if r.Err == nil && isDesign(r.ID) {
			v := c.view()
			defer v.Close()
			return c.cleanViews(v)
		}
	}
	return nil
}

// judge returns why documents are refused, nil for each that is not, or nil if
// none is. Of docs it changes what must fail in the log whatever happens there.
func (c *call) judge(docs []store.Doc, replicated bool) ([]*store.Refusal, []store.Doc, error) {
	j := judge{call: c}
	defer j.close()
	if err := j.begin(); err != nil {
		return nil, docs, err
	}
	var refused []*store.Refusal
	for i := range docs {
		r, err := j.decide(&docs[i], replicated)
		if err != nil {
			return nil, docs, err
		}
		if r != nil {
			if refused == nil {
				refused = make([]*store.Refusal, len(docs))
			}
			refused[i] = r
		}
	}
	return refused, docs, nil
}

// begin finds the design documents that decide. Where there are none, this is
// all.
func (j *judge) begin() error {
	if designs, err := j.deciding(); err != nil || designs == nil {
		return err
	}
	// What was acknowledged anywhere must be in view, so that a revision that
	// is no leaf here will not be one in the log.
	if err := j.engine.log.Barrier(j.ctx(), j.db.Shard); err != nil {
		return err
	}
	j.v = j.view()
	var err error
	if j.designs, err = j.deciding(); err != nil {
		return err
	}
	if j.user, err = json.Marshal(j.userContext()); err != nil {
		return err
	}
	if j.secures = j.db.Security; len(j.secures) == 0 {
		j.secures = []byte(defaultSecurity)
	}
	return nil
}

// deciding returns the design documents that decide, as they are now.
func (c *call) deciding() ([]*design, error) {
	stamp := c.store.Designs(c.db) // Before looking: what is found then is at least as new.
	if list, ok := c.deciders.get(deciderKey{c.db.Shard, c.db.ID}, stamp); ok {
		return list, nil
	}
	v := c.view()
	defer v.Close()
	var list []*design
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return nil, err
		}
		if d.Deleted {
			continue
		}
		functions, err := c.design(v, d)
		if err != nil {
			return nil, err
		}
		if functions.validate != "" {
			list = append(list, functions)
		}
	}
	c.deciders.put(deciderKey{c.db.Shard, c.db.ID}, stamp, list)
	return list, nil
}

func (j *judge) close() {
	if j.v != nil {
		j.v.Close()
	}
	if j.session != nil {
		j.session.Close()
	}
}

// decide returns why a document is refused.
func (j *judge) decide(d *store.Doc, replicated bool) (*store.Refusal, error) {
	if isDesign(d.ID) {
		if d.Deleted {
			return nil, nil
		}
		return checkDesign(d.Body), nil
	}
	if j.designs == nil || !replicated && d.MustExist && d.Rev.IsZero() {
		return nil, nil // The log refuses a deletion without a revision.
	}
	old, err := j.former(d, replicated)
	if err != nil || old == nil {
		return nil, err
	}
	doc := newDocument(d, replicated)
	for _, functions := range j.designs {
		if functions.err != nil {
			return &store.Refusal{Name: "compilation_error", Reason: functions.id + ": " + functions.err.Error()}, nil
		}
		if j.session == nil {
			if j.session, err = j.scripts.Open(j.ctx()); err != nil {
				return nil, err
			}
		}
		if err := functions.decision.Allows(j.ctx(), j.session, doc, old, j.user, j.secures); err != nil {
			return refusalOf(j.ctx(), err)
		}
	}
	return nil, nil
}

// former returns the document that an edit continues as JSON, or null. An edit
// that comes too late, for which there is nothing to decide, becomes one that
// the log refuses in any case, and former returns nil: only its answer to an
// operation that it knows can be another.
func (j *judge) former(d *store.Doc, replicated bool) ([]byte, error) {
	known, err := j.v.Document(j.db, d.ID)
	if err != nil {
		return nil, err
	}
	var tree store.Tree
	if known != nil {
		if tree, err = known.Tree(); err != nil {
			return nil, err
		}
	}
	ancestors := []store.Rev{d.Rev}
	if replicated {
		if _, here := tree.Node(d.Path[0]); here {
			return nil, nil // The log has nothing to do.
		}
		ancestors = d.Path[1:]
	}
	for _, r := range ancestors {
		if n, ok := tree.Node(r); ok && n.Leaf {
			return j.json(j.v, known, n, render{revs: true})
		}
	}
	if replicated || d.Rev.IsZero() && (known == nil || known.Deleted) {
		return []byte("null"), nil
	}
	var none [16]byte
	rand.Read(none[:])
	d.Rev, err = store.MakeRev(max(1, d.Rev.Gen), hex.EncodeToString(none[:]))
	return nil, err
}
