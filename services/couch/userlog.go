package couch

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	maxGen = 9_999_999_999
	// maxBatch is the limit of documents in one request, since they are whole.
	maxBatch = 50
	// grace is how long a generation that was claimed may wait for its document
	// before others take its writer for dead.
	grace = 10 * time.Second
)

// genDoc is one entry of the log. Creating it claims the generation.
type genDoc struct {
	ID      string `json:"_id"`
	Rev     string `json:"_rev,omitempty"`
	Gen     int    `json:"gen"`
	TransID string `json:"trans_id"`
	DocID   string `json:"doc_id"`          // Of U1DB; "" in an entry that filled a gap.
	At      int64  `json:"at"`              // Unix time of the claim, seconds.
	Newer   int    `json:"newer,omitempty"` // The generation in which the document changed again.
	Void    bool   `json:"void,omitempty"`  // Nothing was written in this generation.
}

func genID(gen int) string { return fmt.Sprintf("gen-%010d", gen) }

// entries returns up to limit entries of the log from the generation gen to the
// generation last.
func (u *UserDB) entries(ctx context.Context, gen, last, limit int) ([]genDoc, error) {
	docs, err := u.db.list(ctx, span{start: genID(gen), end: genID(last), limit: limit})
	if err != nil {
		return nil, err
	}
	out := make([]genDoc, len(docs))
	for i, raw := range docs {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("reading the log: %w", err)
		}
	}
	return out, nil
}

// settled returns the configuration with the last generation up to which every
// one is settled: its document was written, or will not be. Only those are
// shown, for what is shown is never looked at again by a device, and the writer
// of an unsettled generation may still be at work. A writer that has stopped
// is made up for.
func (u *UserDB) settled(ctx context.Context) (configDoc, error) {
	c, err := u.config(ctx)
	if err != nil {
		return c, err
	}
	hint := c.Gen
	for {
		rows, err := u.entries(ctx, c.Gen+1, maxGen, maxBatch)
		if err != nil {
			return c, err
		}
		open, err := u.advance(ctx, &c, rows)
		if err != nil {
			return c, err
		}
		if open != nil && u.db.db.now().Unix()-open.At > int64(grace/time.Second) {
			if err := u.repair(ctx, c.Gen+1, open); err != nil {
				return c, err
			}
			continue
		}
		if open != nil || len(rows) < maxBatch {
			break
		}
	}
	if c.Gen > hint {
		u.hint(ctx, c)
	}
	return c, nil
}

// hint stores how far the log is settled. Another one may store less: then
// somebody does the work again.
func (u *UserDB) hint(ctx context.Context, c configDoc) { _, _ = u.db.put(ctx, configID, c) }

// advance moves c over the rows that are settled, and returns the first that
// keeps it from going on: it is not settled, or there is a gap before it.
func (u *UserDB) advance(ctx context.Context, c *configDoc, rows []genDoc) (*genDoc, error) {
	var ids []string
	for _, g := range rows {
		if !g.Void {
			ids = append(ids, g.DocID)
		}
	}
	docs, err := u.stored(ctx, ids)
	if err != nil {
		return nil, err
	}
	next := 0
	for i, g := range rows {
		if g.Gen != c.Gen+1 {
			return &rows[i], nil
		}
		if !g.Void {
			if docs[next].Gen < g.Gen {
				return &rows[i], nil
			}
			next++
		}
		c.Gen, c.TransID = g.Gen, g.TransID
	}
	return nil, nil
}

// repair settles the generation gen, whose writer has stopped: g is its entry,
// or the first one behind the gap where it should be. The document is written
// again as it is, in this generation. From then on the writer, should it only
// be slow, cannot write any more: it finds another revision, and fails.
func (u *UserDB) repair(ctx context.Context, gen int, g *genDoc) error {
	if g.Gen != gen {
		trans, err := u1db.NewTransID(rand.Reader)
		if err != nil {
			return err
		}
		hole := genDoc{ID: genID(gen), Gen: gen, TransID: trans, At: g.At, Void: true}
		_, err = u.db.create(ctx, hole.ID, hole)
		return but(err, problem.Exist)
	}
	docs, err := u.stored(ctx, []string{g.DocID})
	if err != nil || docs[0].Gen >= gen {
		return err
	}
	d := docs[0]
	d.Gen, d.TransID, d.GenRev = g.Gen, g.TransID, g.Rev
	d.Void = d.U1DBRev == ""
	if _, err := u.db.put(ctx, d.ID, d); err != nil || !d.Void {
		return but(err, problem.Stale)
	}
	return u.void(ctx, *g)
}

// void marks an entry as one in which nothing was written.
func (u *UserDB) void(ctx context.Context, g genDoc) error {
	g.Void = true
	_, err := u.db.put(ctx, g.ID, g)
	return but(err, problem.Stale)
}

// but returns err, or nil if it is of the kind.
func but(err error, k problem.Kind) error {
	if problem.KindOf(err) == k {
		return nil
	}
	return err
}

// Changes returns up to limit changes after the generation since, ascending:
// the newest one of each document. Rarely, after a crash of a writer, an older
// one comes too, or a document whose change was lost: its content is then that
// of before, or it is not there.
func (u *UserDB) Changes(ctx context.Context, since, limit int) ([]u1db.Change, error) {
	c, err := u.settled(ctx)
	if err != nil {
		return nil, err
	}
	var out []u1db.Change
	at := map[string]int{} // Of a document in out, plus 1.
	n := 0
	for gen := max(since, 0) + 1; gen <= c.Gen && n < limit; {
		rows, err := u.entries(ctx, gen, c.Gen, maxDocuments)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 || len(rows) < maxDocuments && rows[len(rows)-1].Gen != c.Gen {
			return nil, problem.Unavailable.Errorf("the database node is behind")
		}
		for _, g := range rows {
			gen = g.Gen + 1
			if g.Void || g.Newer > 0 && g.Newer <= c.Gen || n == limit {
				continue
			}
			if i := at[g.DocID]; i > 0 {
				out[i-1].DocID = ""
				n--
			}
			out = append(out, u1db.Change{DocID: g.DocID, Gen: g.Gen, TransID: g.TransID})
			at[g.DocID] = len(out)
			n++
		}
	}
	return compact(out), nil
}

// compact drops the changes that another one of the same document follows.
func compact(list []u1db.Change) []u1db.Change {
	out := list[:0]
	for _, c := range list {
		if c.DocID != "" {
			out = append(out, c)
		}
	}
	return out
}
