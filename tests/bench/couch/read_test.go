package couch_test

import (
	"fmt"
	"testing"
	"time"
)

// sceneGet reads documents, one by one.
func sceneGet(tb testing.TB, report reporter) {
	all := servers(tb)
	for _, c := range all {
		fill(tb, c, "/db", 1000)
	}
	latency(tb, report, all, func(c *client, i int) (time.Duration, error) {
		begun := time.Now()
		err := c.do("GET", fmt.Sprintf("/db/%08d", i*7919%1000), nil, nil)
		return time.Since(begun), err
	}, 50)
}

// sceneChanges reads the whole feed.
func sceneChanges(tb testing.TB, report reporter) {
	all := servers(tb)
	for name, c := range all {
		fill(tb, c, "/db", *rows)
		var now feed
		if err := c.do("GET", "/db/_changes", nil, &now); err != nil || len(now.Results) != *rows {
			tb.Fatalf("%s: %d rows, %v", name, len(now.Results), err)
		}
	}
	latency(tb, report, all, func(c *client, _ int) (time.Duration, error) {
		begun := time.Now()
		err := c.do("GET", "/db/_changes", nil, nil)
		return time.Since(begun), err
	}, 1)
}

// sceneLongpoll measures how long after a write was acknowledged a feed that
// waits for it has it.
func sceneLongpoll(tb testing.TB, report reporter) {
	latency(tb, report, servers(tb), wake, 10)
}

// latency has each server do something by turns, so often each time, and reports
// the medians.
func latency(tb testing.TB, report reporter, all map[string]*client, f func(c *client, i int) (time.Duration, error), calls int) {
	tb.Helper()
	took := map[string][]time.Duration{}
	n := 0
	for range *turns {
		for name, c := range all {
			for range calls {
				d, err := f(c, n)
				if err != nil {
					tb.Fatalf("%s: %v", name, err)
				}
				took[name] = append(took[name], d)
				n++
			}
		}
	}
	for name, list := range took {
		report(ms(at(50, list)), name+"-p50-ms")
		report(ms(at(99, list)), name+"-p99-ms")
	}
}

// fill puts so many documents into a database.
func fill(tb testing.TB, c *client, db string, n int) {
	tb.Helper()
	for i := 0; i < n; i += 500 {
		c.must(tb, "POST", db+"/_bulk_docs", bulk(i, min(500, n-i)))
	}
}

// feed is what is read of an answer of _changes.
type feed struct {
	Last    any              `json:"last_seq"`
	Results []map[string]any `json:"results"`
}

// wake writes a document while a feed waits.
func wake(c *client, i int) (time.Duration, error) {
	var now feed
	if err := c.do("GET", "/db/_changes?since=now&limit=1", nil, &now); err != nil {
		return 0, err
	}
	type end struct {
		feed
		at  time.Time
		err error
	}
	ended := make(chan end, 1)
	go func() {
		var e end
		e.err = c.do("GET", fmt.Sprintf("/db/_changes?feed=longpoll&timeout=20000&since=%v", now.Last), nil, &e.feed)
		e.at = time.Now()
		ended <- e
	}()
	time.Sleep(20 * time.Millisecond) // So that it waits by then; if it does not, the answer comes only sooner.
	err := c.do("PUT", fmt.Sprintf("/db/%08d", i), document(i), nil)
	acknowledged := time.Now()
	e := <-ended
	if err == nil {
		err = e.err
	}
	if err == nil && len(e.Results) != 1 {
		err = fmt.Errorf("the feed ended with %d rows", len(e.Results))
	}
	return max(e.at.Sub(acknowledged), time.Microsecond), err // It may come first.
}
