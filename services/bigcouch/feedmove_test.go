package bigcouch_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A follower reads a feed of changes as a client does that never gives up: where
// one node ends the feed, or is gone, it goes on at the next with the last
// sequence that it was told.
type follower struct {
	t    *testing.T
	kind string
	db   string

	mu    sync.Mutex // Guards what follows.
	urls  []string
	since string
	last  uint64            // The number of since.
	seen  map[string]string // The latest revision of each document.
	rows  int
}

func (f *follower) move(urls []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.urls = urls
}

// run follows until ctx is done.
func (f *follower) run(ctx context.Context) {
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := 0; ctx.Err() == nil; i++ {
		f.mu.Lock()
		url := f.urls[i%len(f.urls)] + f.db + "/_changes?feed=" + f.kind + "&timeout=1500&since=" + f.since
		f.mu.Unlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			f.t.Error(err)
			return
		}
		req.SetBasicAuth("admin", password)
		resp, err := hc.Do(req)
		if err == nil {
			if resp.StatusCode == http.StatusOK {
				f.read(resp)
			}
			resp.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond): // Between polls only.
		}
	}
}

// read takes rows, line by line, until the answer ends or is cut.
func (f *follower) read(resp *http.Response) {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := strings.TrimSuffix(lines.Text(), ",")
		if rest, ok := strings.CutPrefix(text, `"last_seq"`); ok {
			text = `{"last_seq"` + rest
		}
		var row struct {
			Seq     string
			ID      string
			Changes []struct{ Rev string }
			Last    string `json:"last_seq"`
		}
		if json.Unmarshal([]byte(text), &row) != nil {
			continue // The frame of an answer, or a row that was cut off.
		}
		f.take(row.ID, row.Seq+row.Last, row.Changes)
	}
}

func (f *follower) take(id, seq string, changes []struct{ Rev string }) {
	f.mu.Lock()
	defer f.mu.Unlock()
	number, _, _ := strings.Cut(seq, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		f.t.Errorf("a row with the sequence %q", seq)
		return
	}
	if id == "" { // The end.
		if n < f.last {
			f.t.Errorf("%s: the feed ends at %d, and was at %d", f.kind, n, f.last)
		}
	} else {
		if n <= f.last {
			f.t.Errorf("%s: row %d of %s comes after %d", f.kind, n, id, f.last)
		}
		f.rows++
		f.seen[id] = changes[0].Rev
	}
	f.since, f.last = seq, n
}

// missing returns a document that the feed has not shown as it is.
func (f *follower) missing(want map[string]string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, rev := range want {
		if f.seen[id] != rev {
			return fmt.Sprintf("%s is %s, and the feed of kind %s says %q", id, rev, f.kind, f.seen[id])
		}
	}
	return ""
}

// Feeds go on while a database moves to other nodes, all of them: no row is
// missed, and none comes again.
func TestFeedsOfMovingDatabase(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, "a", "b", "c")
	for i := range c.place {
		c.place[i] = []string{"a"}
	}
	c.start(c.names...)
	c.ready(c.names...)
	urls := func() (list []string) {
		for _, name := range c.names {
			list = append(list, c.nodes[name].url)
		}
		return list
	}
	c.nodes["a"].admin(201, "PUT", "/db", "")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var followers []*follower
	for _, kind := range []string{"continuous", "longpoll", "normal"} {
		f := &follower{t: t, kind: kind, db: "/db", urls: urls(), since: "0", seen: map[string]string{}}
		followers = append(followers, f)
		wg.Go(func() { f.run(ctx) })
	}
	revs := map[string]string{}
	written := 0
	write := func(n int) {
		for range n {
			id := fmt.Sprintf("doc%d", written%40) // Some again and again.
			through := c.nodes[c.names[written%3]]
			written++
			path := "/db/" + id
			if rev := revs[id]; rev != "" {
				path += "?rev=" + rev
			}
			poll(t, func() bool {
				a := through.do("admin", "PUT", path, fmt.Sprintf(`{"n":%d}`, written), fmt.Sprintf("X-Leap-Op: %032d", written))
				if a.status == http.StatusCreated {
					revs[id] = a.rev(t)
				}
				return a.status == http.StatusCreated
			})
		}
	}
	write(60)
	for i := 1; i < len(c.place); i++ {
		c.place[i] = []string{"b"}
	}
	for _, name := range c.names {
		if err := c.nodes[name].stop(); err != nil {
			t.Fatal(err)
		}
		c.start(name)
		for _, f := range followers {
			f.move(urls())
		}
		c.ready(name)
		write(10)
	}
	poll(t, func() bool { // a has dropped all but the catalogue.
		write(1)
		return strings.Count(c.nodes["a"].admin(200, "GET", "/_node/_local/_cluster", "").body, `"elsewhere"`) == len(c.place)-1
	})
	write(20)
	for _, f := range followers {
		for deadline := time.Now().Add(time.Minute); f.missing(revs) != ""; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(f.missing(revs))
			}
		}
		if f.rows < 40 {
			t.Errorf("%s: %d rows", f.kind, f.rows)
		}
	}
}
