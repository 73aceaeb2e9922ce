package couch

import (
	"context"
	"net/http"
	"time"

	"github.com/go-kivik/kivik/v4"
)

// The beginning of a feed.
const fromStart = "0"

// A change is one row of a feed. Its sequence is opaque: it is handed back to
// the database as it came and never compared.
type change struct {
	id      string
	deleted bool
	seq     string
}

// now returns the present sequence of the database.
func (d database) now(ctx context.Context) (seq string, err error) {
	err = read(ctx, func(ctx context.Context) error {
		stats, err := d.kivik.Stats(ctx)
		if err == nil {
			seq = stats.UpdateSeq
		}
		return err
	})
	return seq, d.failed("asking for the sequence of", err)
}

// changes returns at most maxDocuments changes after since, in order, and the
// sequence to go on from. If there is none it waits for one, and returns no
// change when none came for a while. It has no deadline but ctx; a node that
// falls silent is an error, and so is one that is away: nothing is repeated.
func (d database) changes(ctx context.Context, since string, ids ...string) ([]change, string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // Also cuts off what a node sends beyond the limit.
	params := map[string]any{
		"feed": "longpoll", "since": since, "limit": maxDocuments,
		"heartbeat": int(heartbeat / time.Millisecond), "timeout": int(requestTimeout / time.Millisecond),
	}
	if len(ids) > 0 {
		params["filter"], params["doc_ids"] = "_doc_ids", ids
	}
	rows := d.kivik.Changes(ctx, kivik.Params(params))
	defer rows.Close()
	var out []change
	for len(out) < maxDocuments && rows.Next() {
		if rows.ID() != "" {
			out = append(out, change{rows.ID(), rows.Deleted(), rows.Seq()})
		}
	}
	switch err := rows.Err(); {
	case isStatus(err, http.StatusBadRequest) && since != fromStart:
		return nil, fromStart, nil // It does not know since: all over again.
	case err != nil:
		return nil, "", d.failed("following", err)
	case len(out) == maxDocuments:
		return out, out[len(out)-1].seq, nil
	}
	m, err := rows.Metadata()
	if err != nil {
		return nil, "", d.failed("following", err)
	}
	if m.LastSeq == "" {
		m.LastSeq = since
	}
	return out, m.LastSeq, nil
}

// A waiter waits for changes of a database, one call at a time.
type waiter struct{ seq string }

// wait returns when there was a change since its last return. The first call
// returns at once: what happened before it is not known.
func (w *waiter) wait(ctx context.Context, d database) error {
	if w.seq == "" {
		var err error
		w.seq, err = d.now(ctx)
		return err
	}
	for {
		rows, seq, err := d.changes(ctx, w.seq)
		if err != nil {
			return err
		}
		anew := seq == fromStart && w.seq != fromStart
		w.seq = seq
		if len(rows) > 0 || anew {
			return nil
		}
	}
}
