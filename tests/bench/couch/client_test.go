package couch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A client speaks to one server over connections that are kept.
type client struct {
	url  string
	hc   *http.Client
	auth bool
}

func newClient(tb testing.TB, url string, auth bool) *client {
	tr := &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
	tb.Cleanup(tr.CloseIdleConnections)
	return &client{url, &http.Client{Transport: tr, Timeout: 2 * time.Minute}, auth}
}

// do makes a request whose answer is to be a success, and decodes it into out,
// unless that is nil. The body is always read to its end.
func (c *client) do(method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if c.auth {
		req.SetBasicAuth("admin", password)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // The status says enough.
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, said)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// must is do in preparation of what is measured.
func (c *client) must(tb testing.TB, method, path string, body []byte) {
	tb.Helper()
	if err := c.do(method, path, body, nil); err != nil {
		tb.Fatal(err)
	}
}

// document returns one of 1 KB that does not compress to nothing. Making it must
// cost little: the client has its share of the machine.
func document(i int) []byte {
	b := fmt.Appendf(make([]byte, 0, 1024), `{"type":"message","n":%d,"text":"`, i)
	unit := strconv.AppendInt(nil, int64(i)*7919, 16)
	for left := 960; left > 0; left -= len(unit) {
		b = append(b, unit[:min(left, len(unit))]...)
	}
	return append(b, `"}`...)
}

// bulk returns the body of _bulk_docs with n documents from first on.
func bulk(first, n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"docs":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"_id":"%08d",`, first+i)
		b.Write(document(first + i)[1:])
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// during calls f by so many workers for about so long, each at least once, and
// returns how long each call took and how many there were in a second.
func during(tb testing.TB, workers int, limit time.Duration, f func() error) (took []time.Duration, rate float64) {
	tb.Helper()
	begun := time.Now()
	return repeat(tb, workers, func(i int64) bool { return i < int64(workers) || time.Since(begun) < limit }, func(int64) error { return f() })
}

// times calls f n times by so many workers, and at most for the limit of a part.
func times(tb testing.TB, workers, n int, f func(i int) error) (took []time.Duration, rate float64) {
	tb.Helper()
	end := time.Now().Add(*part)
	return repeat(tb, workers, func(i int64) bool { return i < int64(n) && time.Now().Before(end) }, func(i int64) error { return f(int(i)) })
}

// repeat calls f by so many workers with 0, 1, 2... as long as more says so.
func repeat(tb testing.TB, workers int, more func(i int64) bool, f func(i int64) error) (took []time.Duration, rate float64) {
	tb.Helper()
	var next atomic.Int64
	var mu sync.Mutex // Guards took.
	var wg sync.WaitGroup
	start := time.Now()
	for range workers {
		wg.Go(func() {
			var mine []time.Duration
			for i := next.Add(1) - 1; more(i); i = next.Add(1) - 1 {
				begun := time.Now()
				if err := f(i); err != nil {
					tb.Error(err)
					break
				}
				mine = append(mine, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if tb.Failed() {
		tb.FailNow()
	}
	return took, float64(len(took)) / elapsed.Seconds()
}

// at returns what so many percent of a list are not above.
func at[T int64 | float64 | time.Duration](percent int, list []T) T {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[min(len(list)-1, len(list)*percent/100)]
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
