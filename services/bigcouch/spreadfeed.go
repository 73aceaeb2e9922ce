package bigcouch

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"leap.example/services/bigcouch/spread"
)

// How a part is watched: it says now and then that it is there, is asked anew
// when it has not for so long, and after a failure with pauses that grow.
const (
	watchBeat    = 5 * time.Second
	watchSilence = 3 * watchBeat
	minPause     = 50 * time.Millisecond
	maxPause     = 2 * time.Second
)

// A watched is what a watcher of a part has seen: a row; or no row and that the
// part has nothing more for now, or is gone.
type watched struct {
	part int
	row  json.RawMessage
	mark spread.Mark
	gone bool
}

// spreadLongpoll answers when there is a change, or after the timeout.
func (f *spreadFeed) spreadLongpoll() error {
	f.open()
	if f.limit != 0 {
		if _, err := f.lookAll(); err != nil {
			return err
		}
	}
	if f.rows == 0 && f.limit != 0 {
		if err := f.flush(); err != nil {
			return err
		}
		if err := f.watch(func(w watched) bool { return f.rows > 0 && w.row == nil }); err != nil {
			return err
		}
	}
	return f.closeSpread(0)
}

// spreadContinuous writes each change until the timeout passes without one.
func (f *spreadFeed) spreadContinuous() error {
	f.open()
	if f.limit != 0 {
		if _, err := f.lookAll(); err != nil {
			return err
		}
	}
	if f.limit != 0 {
		if err := f.flush(); err != nil {
			return err
		}
		if err := f.watch(func(watched) bool { return false }); err != nil {
			return err
		}
	}
	return f.closeSpread(0)
}

// watch writes changes of all parts as they come until done, the limit, the
// timeout, the end of the database or of the node.
func (f *spreadFeed) watch(done func(watched) bool) error {
	f.metrics.feeds.Inc()
	defer f.metrics.feeds.Dec()
	ctx, cancel := context.WithCancel(f.ctx())
	seen := make(chan watched)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i, m := range f.marks {
		wg.Go(func() { f.watchPart(ctx, i, m, seen) })
	}
	for {
		var w watched
		select {
		case w = <-seen:
		default: // The client gets what there is.
			over, err := false, f.flush()
			if err == nil {
				w, over, err = await(&f.live, seen)
			}
			if err != nil || over {
				return err
			}
		}
		if w.gone {
			return nil
		}
		if w.row != nil {
			if err := f.rowOf(w.part, w.row); err != nil {
				return err
			}
		} else {
			f.marks[w.part] = w.mark
		}
		if f.limit == 0 || done(w) {
			return nil
		}
	}
}

// watchPart sends what changes in a part behind a mark until ctx is done. A part
// that does not answer is asked again, of whichever node has it then.
func (f *spreadFeed) watchPart(ctx context.Context, i int, m spread.Mark, seen chan<- watched) {
	pause := minPause
	for ctx.Err() == nil {
		next, err := f.watchOnce(ctx, i, m, seen)
		e, known := asWire(err)
		switch {
		case err == nil && next != m:
			m, pause = next, minPause
			continue
		case err == nil: // The node that has the part may be stopping.
		case known && e.status == http.StatusNotFound:
			select {
			case seen <- watched{part: i, gone: true}:
			case <-ctx.Done():
			}
			return
		default:
			m = next
		}
		select {
		case <-time.After(pause):
			pause = min(maxPause, 2*pause)
		case <-ctx.Done():
		}
	}
}

// watchOnce waits for the next changes of a part and returns how far it has
// come, also with an error.
func (f *spreadFeed) watchOnce(ctx context.Context, i int, m spread.Mark, seen chan<- watched) (spread.Mark, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	d := f.changesOf(m, -1)
	d.query.Set("feed", "longpoll")
	d.query.Set("heartbeat", strconv.FormatInt(watchBeat.Milliseconds(), 10))
	resp, err := f.demand(ctx, i, d)
	if err != nil {
		return m, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return m, failure(resp)
	}
	rows, err := spread.Read(alive{resp.Body, silence}, "results")
	if err != nil {
		return m, partLost(err)
	}
	for {
		row, err := rows.Next()
		if err != nil {
			return m, partLost(err)
		}
		w := watched{part: i, row: row}
		var told struct {
			Seq string `json:"seq"`
		}
		if row == nil {
			err = json.Unmarshal(rows.Members["last_seq"], &told.Seq)
		} else {
			err = json.Unmarshal(row, &told)
		}
		if err == nil {
			w.mark, err = markOf(told.Seq)
		}
		if err != nil {
			return m, partLost(err)
		}
		silence.Stop() // The client may take its time.
		select {
		case seen <- w:
			m = w.mark
		case <-ctx.Done():
			return m, ctx.Err()
		}
		if row == nil {
			return m, nil
		}
		silence.Reset(watchSilence)
	}
}

// alive puts off the timer with each byte.
type alive struct {
	r       io.Reader
	silence *time.Timer
}

func (a alive) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if n > 0 {
		a.silence.Reset(watchSilence)
	}
	return n, err
}
