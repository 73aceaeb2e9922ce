package soledad

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	batchDocs  = 512     // Documents stored in one operation.
	batchBytes = 4 << 20 // Their content, but for the last one's.
	storeTime  = 30 * time.Second
	maxRetries = 8 // When other processes write the same documents.
)

// receive stores the documents of r. When the stream breaks, what was read
// before is stored all the same.
func (x *exchange) receive(ctx context.Context, r *u1db.Reader) error {
	defer func() { x.s.exchanges.remember(x.id, x.seen, time.Now()) }()
	var batch []u1db.Document
	in := map[string]bool{} // The batch, by id.
	size := 0
	for {
		d, err := r.Next()
		if err != nil {
			if stored := x.flush(ctx, batch); stored != nil || err == io.EOF {
				return stored
			}
			return err
		}
		if len(batch) == batchDocs || size >= batchBytes || in[d.ID] {
			if err := x.flush(ctx, batch); err != nil {
				return err
			}
			batch, size = batch[:0], 0
			clear(in)
		}
		batch = append(batch, d)
		in[d.ID] = true
		size += len(d.Content)
	}
}

// flush stores a batch of documents with distinct ids and the position of
// their source after them. It goes on when the client is gone: what it has
// sent need not be sent again.
func (x *exchange) flush(ctx context.Context, batch []u1db.Document) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	unlock, err := x.s.writers.lock(ctx, x.id.user)
	if err != nil {
		return err
	}
	defer unlock()
	gen, trans, err := x.db.SyncState(ctx, x.id.source)
	if err != nil {
		return err
	}
	// leap-protocols.md 7.5: a document that is out of its source's order ends
	// the sync; those before it stay.
	var refused error
	for i, d := range batch {
		if refused = u1db.CheckSource(d.Gen, d.TransID, gen, trans); refused != nil {
			batch = batch[:i]
			break
		}
		gen, trans = d.Gen, d.TransID
	}
	if len(batch) == 0 {
		return refused
	}
	if err := x.storeRetrying(ctx, batch); err != nil {
		return err
	}
	if err := x.db.SetSyncState(ctx, x.id.source, gen, trans); err != nil {
		return err
	}
	return refused
}

// storeRetrying stores a batch, judging it again while other processes are
// faster.
func (x *exchange) storeRetrying(ctx context.Context, batch []u1db.Document) error {
	for try := range maxRetries {
		err := x.store(ctx, batch)
		if !errors.Is(err, problem.Stale) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(4*time.Millisecond) << try))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return u1db.ErrUnavailable
}

// store puts each document of a batch if it is newer: leap-protocols.md 7.5.
// Stale means that nothing is known of what is stored now.
func (x *exchange) store(ctx context.Context, batch []u1db.Document) error {
	// The generation is read before the documents: whatever changes later has a
	// higher one, and so is not taken for what was found equal here.
	_, now, _, err := x.db.Info(ctx)
	if err != nil {
		return err
	}
	ids := make([]string, len(batch))
	for i, d := range batch {
		ids[i] = d.ID
	}
	have, err := x.db.GetMany(ctx, ids)
	if err != nil {
		return err
	}
	stored := make(map[string]u1db.Document, len(have))
	for _, d := range have {
		stored[d.ID] = d
	}
	var docs []u1db.Document
	var prev []string
	var merged []bool
	var growth []change
	for _, d := range batch {
		old, exists := stored[d.ID]
		verdict := u1db.Judge(d, pointer(old, exists))
		switch verdict {
		case u1db.Converged:
			x.seen.note(d.ID, now)
		case u1db.Merged:
			if d.Rev, err = merge(d.Rev, old.Rev, x.replica); err != nil {
				return err
			}
			fallthrough
		case u1db.Inserted:
			docs, prev, merged = append(docs, d), append(prev, old.Rev), append(merged, verdict == u1db.Merged)
			growth = append(growth, change{len(old.Content), len(d.Content)})
		case u1db.Refused:
			return errors.New("the stored revision of a document is malformed")
		}
		// Superseded or conflicted: the source gets ours with its pull.
	}
	if len(docs) == 0 {
		return nil
	}
	if err := x.s.admit(ctx, x.db, x.id.user, growth); err != nil {
		return err
	}
	changes, err := x.db.Append(ctx, docs, prev)
	if errors.Is(err, problem.Limit) {
		return u1db.ErrDocumentTooBig
	}
	if err != nil {
		return err
	}
	for i, ch := range changes {
		if !merged[i] {
			x.seen.note(ch.DocID, ch.Gen)
		}
	}
	return nil
}

func pointer(d u1db.Document, exists bool) *u1db.Document {
	if !exists {
		return nil
	}
	return &d
}

// merge returns the revision of two versions with the same content: newer than
// both, by one change of our own.
func merge(a, b, replica string) (string, error) {
	ra, err := u1db.ParseRevision(a)
	if err != nil {
		return "", err
	}
	rb, err := u1db.ParseRevision(b)
	if err != nil {
		return "", err
	}
	return ra.Merge(rb).Next(replica).String(), nil
}
