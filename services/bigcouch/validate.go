package bigcouch

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// Design documents decide about writes before they are proposed, on the node
// that took the request, by what this node knows of them. It may be late: what was
// acknowledged through another node may come here a moment later, or much later if
// this node hardly hears of the others. So the entry says by which design documents
// it was judged, and the log refuses it if they are others where it stands; then
// the node catches up and judges again. What a document was before the edit is known
// for sure in the same way: the edit names its revision, and the log refuses it if
// that is no longer a leaf.

// maxJudgings is how often a list is judged while its design documents change.
const maxJudgings = 10

// A judge lets design documents decide about a list of writes.
type judge struct {
	*call
	v       *store.View // Nil where nobody decides.
	designs []*design
	judged  uint64        // By which design documents; see store.WriteDocs.
	session *view.Session // Nil until JavaScript runs.
	user    []byte        // userCtx and security object, JSON.
	secures []byte
}

// writeLot enters documents by one entry, as far as design documents allow them,
// and returns what became of all.
func (c *call) writeLot(op store.OpID, lot []draft, replicated bool) ([]store.DocResult, error) {
	for tries := 1; ; tries++ {
		docs, judged, err := c.judge(lot, replicated)
		if err != nil {
			return nil, errors.Join(err, c.abandonDrafts(lot))
		}
		results, err := c.enterAllowed(op, docs, replicated, judged)
		switch {
		case !errors.Is(err, store.ErrJudged):
			c.abandonRefused(lot, docs)
			return results, err
		case tries == maxJudgings:
			return nil, errors.Join(err, c.abandonDrafts(lot))
		}
		if err := c.engine.log.Barrier(c.ctx(), c.db.Shard); err != nil {
			return nil, errors.Join(err, c.abandonDrafts(lot))
		}
	}
}

// enterAllowed enters what is left of a list. What is refused goes along, so that
// an operation is the same list whoever judges it, and has the answer of the first
// time; without an operation to remember it is left out where nothing else is to
// be written.
func (c *call) enterAllowed(op store.OpID, docs []store.Doc, replicated bool, judged uint64) ([]store.DocResult, error) {
	allowed := func(d store.Doc) bool { return d.Refused == nil }
	n := 0
	for _, d := range docs {
		if allowed(d) {
			n++
		}
	}
	if n == len(docs) || judged > 0 && (n > 0 || op != store.OpID{}) {
		return c.enter(op, docs, replicated, judged)
	}
	// Nothing is to be entered, or the shard's version does not know refused
	// documents in a list: what is left is another operation then.
	var label strings.Builder
	label.WriteString("allowed")
	var kept []store.Doc
	for i, d := range docs {
		if allowed(d) {
			kept = append(kept, d)
			label.WriteString(" " + strconv.Itoa(i))
		}
	}
	var entered []store.DocResult
	if n > 0 {
		var err error
		if entered, err = c.enter(derived(op, label.String()), kept, replicated, judged); err != nil {
			return nil, err
		}
	}
	var results []store.DocResult
	for _, d := range docs {
		if !allowed(d) {
			results = append(results, store.DocResult{ID: d.ID, Err: d.Refused})
			continue
		}
		results, entered = append(results, entered[0]), entered[1:]
	}
	return results, nil
}

// abandonRefused drops what was uploaded for documents that were refused.
func (c *call) abandonRefused(lot []draft, docs []store.Doc) {
	for i := range lot {
		if docs[i].Refused != nil {
			_ = c.abandon(lot[i].Doc) // Or else it is swept.
		}
	}
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

// judge returns what is to be entered of a list, and by which design documents it
// was judged: of documents that are refused why, and others changed where they must
// fail in the log whatever happens there.
func (c *call) judge(lot []draft, replicated bool) ([]store.Doc, uint64, error) {
	j := judge{call: c}
	defer j.close()
	if err := j.begin(); err != nil {
		return nil, 0, err
	}
	docs := make([]store.Doc, len(lot))
	for i := range lot {
		docs[i] = lot[i].Doc
		if docs[i].Refused != nil {
			continue
		}
		r, err := j.decide(&docs[i], replicated)
		if err != nil {
			return nil, 0, err
		}
		if r != nil {
			docs[i] = store.Doc{ID: docs[i].ID, Refused: r}
		}
	}
	return docs, j.judged, nil
}

// begin finds the design documents that decide. Where there are none, this is
// all.
func (j *judge) begin() error {
	d, err := j.deciding()
	if j.judged = d.judged; err != nil || d.designs == nil {
		return err
	}
	// What was acknowledged anywhere must be in view, so that a revision that
	// is no leaf here will not be one in the log.
	if err := j.engine.log.Barrier(j.ctx(), j.db.Shard); err != nil {
		return err
	}
	j.v = j.view()
	if d, err = j.deciding(); err != nil {
		return err
	}
	j.designs, j.judged = d.designs, d.judged
	if j.user, err = json.Marshal(j.userContext()); err != nil {
		return err
	}
	if j.secures = j.db.Security; len(j.secures) == 0 {
		j.secures = []byte(defaultSecurity)
	}
	return nil
}

// deciding returns the design documents that decide, as they are now.
func (c *call) deciding() (decider, error) {
	key := deciderKey{c.db.Shard, c.db.ID}
	stamp := c.store.Designs(c.db) // Before looking: what is found then is at least as new.
	if known, ok := c.deciders.get(key, stamp); ok {
		return known, nil
	}
	v := c.view()
	defer v.Close()
	found := decider{stamp: stamp}
	var err error
	if found.judged, err = v.Judged(c.db); err != nil {
		return found, err
	}
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return found, err
		}
		if d.Deleted {
			continue
		}
		functions, err := c.design(v, d)
		if err != nil {
			return found, err
		}
		if functions.validate != "" {
			found.designs = append(found.designs, functions)
		}
	}
	c.deciders.put(key, found)
	return found, nil
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
