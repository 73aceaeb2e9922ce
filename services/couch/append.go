package couch

import (
	"context"
	"crypto/rand"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// maxBatchBytes is the limit of content in one request.
const maxBatchBytes = 4 << 20

// Append stores documents, each in a generation of its own, and returns their
// changes in the order of docs; ID, Rev and Content of docs count. prev are the
// revisions that the documents had when the caller judged them ("": none):
// Stale when one has another by now. After an error some documents may be
// stored, with generations: the caller reads and judges anew. A document over
// the limit of the database is Limit.
func (u *UserDB) Append(ctx context.Context, docs []u1db.Document, prev []string) ([]u1db.Change, error) {
	if len(docs) != len(prev) {
		return nil, problem.Internal.Errorf("%d documents with %d revisions", len(docs), len(prev))
	}
	for _, d := range docs {
		if d.Rev == "" {
			return nil, problem.Invalid.Errorf("document without revision")
		}
	}
	var out []u1db.Change
	for start := 0; start < len(docs); {
		end := batch(docs, start)
		changes, err := u.appendBatch(ctx, docs[start:end], prev[start:end])
		if err != nil {
			return nil, err
		}
		out = append(out, changes...)
		start = end
	}
	return out, nil
}

// batch returns the end of the batch that begins at start: of limited size, and
// without a document that comes twice.
func batch(docs []u1db.Document, start int) int {
	seen := map[string]bool{}
	size := 0
	for i := start; i < len(docs); i++ {
		size += len(docs[i].Content)
		if i > start && (size > maxBatchBytes || i-start == maxBatch || seen[docs[i].ID]) {
			return i
		}
		seen[docs[i].ID] = true
	}
	return len(docs)
}

func (u *UserDB) appendBatch(ctx context.Context, docs []u1db.Document, prev []string) ([]u1db.Change, error) {
	c, err := u.config(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(docs))
	for i, d := range docs {
		ids[i] = d.ID
	}
	old, err := u.stored(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range old {
		if old[i].U1DBRev != prev[i] {
			return nil, problem.Stale.Errorf("revision conflict")
		}
	}
	claims, err := u.claim(ctx, c.Gen, ids)
	if err != nil {
		return nil, err
	}
	if err := u.write(ctx, docs, old, claims); err != nil {
		return nil, err
	}
	changes := make([]u1db.Change, len(docs))
	last := c.Gen
	alone := true
	for i, g := range claims {
		changes[i] = u1db.Change{DocID: docs[i].ID, Gen: g.Gen, TransID: g.TransID}
		alone = alone && g.Gen == c.Gen+1+i
		last = max(last, g.Gen)
	}
	if alone { // Nobody else has written since the hint.
		c.Gen, c.TransID = last, claims[len(claims)-1].TransID
		u.hint(ctx, c)
		return changes, nil
	}
	return changes, u.await(ctx, last)
}

// claim creates an entry of the log for each document, from the generation
// after top on. Where others were faster it goes on behind them.
func (u *UserDB) claim(ctx context.Context, top int, ids []string) ([]genDoc, error) {
	out := make([]genDoc, len(ids))
	left := make([]int, len(ids)) // Documents without a generation.
	for i := range left {
		left[i] = i
	}
	now := u.db.db.now().Unix()
	for range maxContenders {
		if top+len(left) > maxGen {
			return nil, problem.Limit.Errorf("the log is full")
		}
		docs := make([]any, len(left))
		for n, i := range left {
			trans, err := u1db.NewTransID(rand.Reader)
			if err != nil {
				return nil, err
			}
			gen := top + 1 + n
			out[i] = genDoc{ID: genID(gen), Gen: gen, TransID: trans, DocID: ids[i], At: now}
			docs[n] = out[i]
		}
		results, err := u.db.bulk(ctx, docs)
		if err != nil {
			return nil, err
		}
		var lost []int
		for n, i := range left {
			out[i].Rev = results[n].rev
			if results[n].refused != nil {
				return nil, results[n].refused
			}
			if u.db.db.external && !results[n].stale {
				results[n].stale = problem.KindOf(u.db.defend(ctx, out[i].ID, out[i].Rev)) == problem.Stale
			}
			if results[n].stale {
				lost = append(lost, i)
			}
		}
		if left = lost; len(left) == 0 {
			return out, nil
		}
		newest, err := u.db.list(ctx, span{start: genID(maxGen), end: genID(0), descending: true, limit: 1})
		if err != nil {
			return nil, err
		}
		var all []genDoc
		for _, raw := range newest {
			if err := into(&all)(raw); err != nil {
				return nil, err
			}
		}
		for _, g := range all {
			top = g.Gen
		}
	}
	return nil, problem.Unavailable.Errorf("too many write to this database at once")
}

// write stores the documents. Entries of the log whose document was refused are
// marked as void, so that nobody waits for it.
func (u *UserDB) write(ctx context.Context, docs []u1db.Document, old []userDoc, claims []genDoc) error {
	batch := make([]any, len(docs))
	for i, d := range docs {
		g := claims[i]
		batch[i] = userDoc{
			ID: old[i].ID, Rev: old[i].Rev, U1DBRev: d.Rev, Content: d.Content,
			Gen: g.Gen, TransID: g.TransID, GenRev: g.Rev,
		}
	}
	results, err := u.db.bulk(ctx, batch)
	if problem.KindOf(err) == problem.Limit { // Nothing was stored.
		results = make([]result, len(claims))
		for i := range results {
			results[i].refused = err
		}
	} else if err != nil {
		return err
	}
	var marks []any
	for i, g := range claims {
		r, o := results[i], old[i]
		switch {
		case r.stale:
			err = problem.Stale.Errorf("revision conflict")
		case r.refused != nil:
			err = problem.Limit.Errorf("document too big")
		case o.GenRev != "" && !o.Void:
			marks = append(marks, genDoc{
				ID: genID(o.Gen), Rev: o.GenRev, Gen: o.Gen, TransID: o.TransID, DocID: docs[i].ID, Newer: g.Gen,
			})
		}
		if r.stale || r.refused != nil {
			if err := u.void(ctx, g); err != nil {
				return err
			}
		}
	}
	// The former entries of the documents: whoever reads the log skips them. One
	// that is not marked costs him a document, no more.
	_, _ = u.db.bulk(ctx, marks)
	return err
}

// await returns when the log is settled up to gen: whoever is told this
// generation must find it.
func (u *UserDB) await(ctx context.Context, gen int) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		c, err := u.settled(ctx)
		if err != nil || c.Gen >= gen {
			return err
		}
		select {
		case <-ctx.Done():
			return problem.Unavailable.Errorf("another writer is at work")
		case <-time.After(pause):
		}
	}
}
