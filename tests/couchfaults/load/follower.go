package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A Follower reads the feed of changes of a database, over whatever happens to
// the nodes: when one fails it, it goes on with another from where it was. For
// each document it keeps what the feed said last.
type Follower struct {
	opts   Options
	hc     *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex // Guards what follows.
	last  map[string]string
	rows  int
	moves int
	err   error
}

// Follow starts a follower. The caller ends with Stop.
func Follow(ctx context.Context, o Options) *Follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &Follower{opts: o, hc: NewHTTP(3 * time.Second), cancel: cancel, done: make(chan struct{}), last: map[string]string{}}
	go f.run(ctx)
	return f
}

// Stop ends it. It returns an answer that no fault excuses, if there was one.
func (f *Follower) Stop() error {
	f.cancel()
	<-f.done
	return f.err
}

// Missing returns documents whose last revision the feed has not shown. want
// is what there is.
func (f *Follower) Missing(want map[string]string) (missing []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, rev := range want {
		if f.last[id] != rev {
			missing = append(missing, fmt.Sprintf("%s is at %s, the feed at %q", id, rev, f.last[id]))
		}
	}
	return missing
}

// Rows returns how many rows came, and how often the follower changed nodes.
func (f *Follower) Rows() (rows, moves int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rows, f.moves
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	defer f.hc.CloseIdleConnections()
	since := "0"
	for node := int(f.opts.Seed % uint64(len(f.opts.URLs))); ctx.Err() == nil; node = (node + 1) % len(f.opts.URLs) {
		next, err := f.read(ctx, f.opts.URLs[node], since)
		since = next
		f.mu.Lock()
		f.moves++
		if err != nil && f.err == nil {
			f.err = err
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Millisecond): // Between tries only.
		}
	}
}

// read follows one node until that fails, and returns where it came to.
func (f *Follower) read(ctx context.Context, node, since string) (string, error) {
	const beat = 300 * time.Millisecond
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(5*time.Second, func() { cancel(errSilent) })
	defer silence.Stop()
	q := url.Values{"feed": {"continuous"}, "heartbeat": {fmt.Sprint(beat.Milliseconds())}, "since": {since}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, node+"/"+f.opts.Database+"/_changes?"+q.Encode(), nil)
	if err != nil {
		return since, err
	}
	req.SetBasicAuth(f.opts.User, f.opts.Password)
	resp, err := f.hc.Do(req)
	if err != nil {
		return since, nil // The node is down or cut off.
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusNotFound {
		return since, fmt.Errorf("_changes: status %d", resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return since, nil // Not found: this node does not know the database yet.
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		silence.Reset(3 * time.Second)
		if len(lines.Bytes()) == 0 {
			continue // A heartbeat.
		}
		if since, err = f.row(lines.Bytes(), since); err != nil {
			return since, nil // Cut off in the middle of a line.
		}
	}
	return since, nil
}

// errSilent means that a node that should send heartbeats did not.
var errSilent = errors.New("no heartbeat")

// row notes one line of the feed and returns where it is.
func (f *Follower) row(line []byte, since string) (string, error) {
	var row struct {
		Seq     string
		ID      string
		Changes []struct{ Rev string }
		LastSeq string `json:"last_seq"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return since, err
	}
	if row.LastSeq != "" {
		return row.LastSeq, nil
	}
	if row.Seq == "" || len(row.Changes) == 0 {
		return since, errors.New("neither a change nor the end")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows++
	f.last[row.ID] = row.Changes[0].Rev
	return row.Seq, nil
}
