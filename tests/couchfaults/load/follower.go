package load

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// A Follower reads the feed of changes of a database, over whatever happens to
// the nodes: when one fails it, it goes on with another from where it was. It
// keeps all rows, and wants none twice, and none that lies before what it has.
type Follower struct {
	opts   Options
	hc     *http.Client
	cancel context.CancelFunc
	done   chan struct{}

	at position // Of the last row, or what came after it.

	mu    sync.Mutex // Guards what follows.
	rows  []Row
	last  map[string]int // The last row of each document.
	moves int
	err   error
}

// A Row is one row of a feed.
type Row struct{ Seq, ID, Rev string }

// Follow starts a follower. The caller ends with Stop.
func Follow(ctx context.Context, o Options) *Follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &Follower{opts: o, hc: NewHTTP(3 * time.Second), cancel: cancel, done: make(chan struct{}), last: map[string]int{}}
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
		said := "none"
		if i, ok := f.last[id]; ok {
			said = f.rows[i].Rev
		}
		if said != rev {
			missing = append(missing, fmt.Sprintf("%s is at %s, the feed at %s", id, rev, said))
		}
	}
	return missing
}

// Rows returns the rows that came, and how often the follower changed nodes.
func (f *Follower) Rows() (rows []Row, moves int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.rows), f.moves
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
		if since, err = f.row(lines.Bytes(), since); errors.Is(err, errOrder) {
			return since, err
		}
		if err != nil {
			return since, nil // Cut off in the middle of a line.
		}
	}
	return since, nil
}

var (
	errSilent = errors.New("no heartbeat")          // A node that should send some did not.
	errOrder  = errors.New("a feed that goes back") // No fault excuses that.
)

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
	seq := cmp.Or(row.LastSeq, row.Seq)
	if seq == "" || row.LastSeq == "" && len(row.Changes) == 0 {
		return since, errors.New("neither a change nor the end")
	}
	at, err := parseSeq(seq)
	if err != nil || f.at.numbers != nil && !at.behind(f.at, row.LastSeq == "") {
		return since, fmt.Errorf("%w: %s after %s: %v", errOrder, seq, since, err)
	}
	f.at = at
	if row.LastSeq != "" {
		return seq, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rev := row.Changes[0].Rev
	if i, ok := f.last[row.ID]; ok && f.rows[i].Rev == rev {
		return since, fmt.Errorf("%w: %s at %s again, by %s and by %s", errOrder, row.ID, rev, f.rows[i].Seq, seq)
	}
	f.last[row.ID] = len(f.rows)
	f.rows = append(f.rows, Row{seq, row.ID, rev})
	return seq, nil
}
