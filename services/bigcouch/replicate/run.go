package replicate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/bits"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// A Replication is one run: until the target has all that the source has, or,
// if it is continuous, until its context is done.
type Replication struct {
	Request        *Request
	Source, Target *Peer
	User           string // Whom it is for; part of its id.

	book book

	mu    sync.Mutex // Guards stats.
	stats Stats
}

// Stats are what a run has done so far.
type Stats struct {
	Checked      int64           `json:"revisions_checked"`
	Found        int64           `json:"missing_revisions_found"`
	Read         int64           `json:"docs_read"`
	Written      int64           `json:"docs_written"`
	Failures     int64           `json:"doc_write_failures"`
	Pending      *int64          `json:"changes_pending"`
	Checkpointed json.RawMessage `json:"checkpointed_source_seq"`
	SourceSeq    json.RawMessage `json:"source_seq"`
	Through      json.RawMessage `json:"through_seq"`
}

// A Result is the answer to a request that is not continuous.
type Result struct {
	OK        bool            `json:"ok"`
	NoChanges bool            `json:"no_changes,omitempty"`
	Session   string          `json:"session_id"`
	LastSeq   json.RawMessage `json:"source_last_seq"`
	Version   int             `json:"replication_id_version"`
	History   []session       `json:"history"`
}

// firstPause is how long a step waits to be tried again; the next pauses are
// twice as long each.
const firstPause = 250 * time.Millisecond

// Stats returns what has been done.
func (r *Replication) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

func (r *Replication) count(f func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// Run replicates. Its error is an [*Error] if a peer has refused something.
// When ctx is done it leaves a checkpoint and returns the error of ctx.
func (r *Replication) Run(ctx context.Context) (*Result, error) {
	var session [16]byte
	rand.Read(session[:])
	r.book.session.Session = hex.EncodeToString(session[:])
	r.book.session.Start = httpTime(time.Now())
	r.book.at = time.Now()
	r.Source.idle, r.Target.idle = r.Request.Timeout, r.Request.Timeout
	var since json.RawMessage
	err := r.step(ctx, func() (err error) {
		if err = r.meet(ctx); err == nil {
			since, err = r.load(ctx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	r.count(func(s *Stats) { s.Checkpointed, s.Through, s.SourceSeq = since, since, since })
	since, err = r.follow(ctx, since)
	if err == nil {
		err = r.step(ctx, func() error { return r.checkpoint(ctx, since) })
	} else if ctx.Err() != nil {
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer stop()
		_ = r.checkpoint(last, since) // A courtesy: the next run has less to look at.
	}
	if err != nil {
		return nil, err
	}
	return r.result(since), nil
}

// result is what a run that has come to its end answers.
func (r *Replication) result(seq json.RawMessage) *Result {
	s := r.sessionAt(seq)
	out := &Result{OK: true, NoChanges: s.Checked == 0, Session: s.Session, LastSeq: seq, Version: idVersion, History: r.book.target.History}
	if r.book.target.Session != s.Session && (!out.NoChanges || out.History == nil) {
		out.History = append([]session{s}, out.History...) // It was not written down.
	}
	return out
}

// meet opens both databases, makes the target if that is asked for, and names
// the checkpoint.
func (r *Replication) meet(ctx context.Context) error {
	if err := r.Source.open(ctx); err != nil {
		return err
	}
	err := r.Target.open(ctx)
	if status(err) == http.StatusNotFound && r.Request.CreateTarget {
		if err = r.Target.create(ctx, r.Request.CreateParams); err == nil {
			err = r.Target.open(ctx)
		}
	}
	if err != nil {
		return err
	}
	what := append(r.Request.what(), r.User)
	for _, p := range []*Peer{r.Source, r.Target} {
		if p.uuid == nil {
			continue
		}
		id, err := p.uuid(ctx)
		if err != nil {
			return err
		}
		what = append(what, id)
	}
	if ddoc, name, ok := r.Request.function(); ok {
		code, err := r.Source.filter(ctx, ddoc, name)
		if err != nil {
			return err
		}
		what = append(what, code)
	}
	r.book.id = digest(what...)
	return nil
}

// filter returns the source of a filter function: with another one the old
// checkpoint means nothing.
func (p *Peer) filter(ctx context.Context, ddoc, name string) (string, error) {
	var doc struct {
		Filters map[string]string `json:"filters"`
	}
	err := p.json(ctx, http.MethodGet, docPath("_design/"+ddoc), nil, &doc, maxDoc)
	if err == nil && doc.Filters[name] == "" {
		err = &Error{http.StatusNotFound, "not_found", "missing"}
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return "", &Error{e.Status, "filter_fetch_error", p.name + ": the filter " + ddoc + "/" + name + ": " + e.Reason}
	}
	return doc.Filters[name], err
}

// follow copies changes until there are no more, or for ever. It returns the
// sequence up to which all is written.
func (r *Replication) follow(ctx context.Context, since json.RawMessage) (json.RawMessage, error) {
	wait, quick := false, 0
	for {
		var pg *page
		asked := time.Now()
		err := r.step(ctx, func() (err error) {
			pg, err = r.next(ctx, since, wait)
			return err
		})
		if err != nil {
			return since, err
		}
		if pg != nil {
			r.count(func(s *Stats) { s.SourceSeq, s.Pending = pg.last, pg.pending })
			if err := r.copy(ctx, pg.rows); err != nil {
				return since, err
			}
			since = pg.last
			r.count(func(s *Stats) { s.Through = since })
		}
		if time.Since(r.book.at) >= r.Request.Interval {
			if err := r.step(ctx, func() error { return r.checkpoint(ctx, since) }); err != nil {
				return since, err
			}
		}
		if pg != nil && pg.whole && !r.Request.Continuous {
			return since, nil
		}
		// A peer that answers at once that there is nothing, again and again,
		// does not wait for changes as it should.
		if wait && pg != nil && len(pg.rows) == 0 && time.Since(asked) < time.Second {
			quick++
			if err := pause(ctx, quick); err != nil {
				return since, err
			}
		} else {
			quick = 0
		}
		wait = pg == nil || pg.whole || wait && len(pg.rows) == 0
	}
}

// next reads the next changes. With wait it comes back when there are any, or
// with nil when a checkpoint is due.
func (r *Replication) next(ctx context.Context, since json.RawMessage, wait bool) (*page, error) {
	due, stop := ctx, context.CancelFunc(func() {})
	if wait && !r.recorded(since) {
		due, stop = context.WithDeadline(ctx, r.book.at.Add(r.Request.Interval))
	}
	defer stop()
	pg, err := r.Source.changes(due, r.Request, since, r.Request.BatchSize, wait)
	if err != nil && due != ctx && due.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return pg, err
}

// recorded reports whether there is nothing to write into the checkpoint.
func (r *Replication) recorded(seq json.RawMessage) bool {
	return r.Request.NoCheckpoints || string(seq) == string(r.book.wrote)
}

func (r *Replication) checkpoint(ctx context.Context, seq json.RawMessage) error {
	if r.recorded(seq) {
		return nil
	}
	if err := r.record(ctx, seq); err != nil {
		return err
	}
	r.count(func(s *Stats) { s.Checkpointed = seq })
	return nil
}

// step does f until it succeeds, with pauses, while that may help. An attempt
// that has brought something over does not count.
func (r *Replication) step(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		before := r.Stats().Written
		err := f()
		if r.Stats().Written > before {
			n = 1
		}
		if err == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if !passes(err) || n >= r.Request.Attempts {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// pause waits before attempt n+1, about twice as long as before attempt n.
func pause(ctx context.Context, n int) error {
	d := firstPause << min(n-1, 6)
	d = d/2 + mathrand.N(d)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Backoff returns how long to wait after a run has failed n times in a row:
// first, and twice as long each time, but most at most; with jitter.
func Backoff(n int, first, most time.Duration) time.Duration {
	d := most
	if n < bits.Len64(uint64(most/first))+1 {
		d = min(most, first<<max(0, n-1))
	}
	return d/2 + mathrand.N(d/2+1)
}
