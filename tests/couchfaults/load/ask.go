package load

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"leap.example/tests/couchfaults/history"
)

var dialer = &net.Dialer{Timeout: 500 * time.Millisecond}

// A client is one goroutine. It stays with a node until that fails it.
type client struct {
	opts  Options
	id    int
	rng   *rand.Rand
	log   *history.Log
	hc    *http.Client
	node  int
	made  int // Values and documents so far.
	known map[string]known
	law   *atomic.Int64 // The number of the last law that was begun.
}

// known is what a client last saw of a document.
type known struct {
	value string // history.Missing when there is none to edit.
	rev   string
}

// An answer is what a node said. The zero answer is none: nobody knows what
// has become of the request.
type answer struct {
	status int
	body   []byte
}

// ask sends a request to one node after another, until one answers it. path
// begins behind the database. Of a header there are name and value.
func (c *client) ask(ctx context.Context, method, path, body string, header ...string) answer {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Patience)
	defer cancel()
	for {
		a, err := c.once(ctx, method, path, body, header)
		if err == nil {
			return a
		}
		if ctx.Err() != nil {
			return answer{}
		}
		c.node = (c.node + 1) % len(c.opts.URLs)
		c.pause(ctx, 15*time.Millisecond)
	}
}

// once sends a request to the present node. An error means that another node,
// or the same one later, might answer.
func (c *client) once(ctx context.Context, method, path, body string, header []string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.opts.URLs[c.node]+"/"+c.opts.Database+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.SetBasicAuth(c.opts.User, c.opts.Password)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode >= 500 {
		return answer{}, fmt.Errorf("status %d: %s", resp.StatusCode, data)
	}
	return answer{resp.StatusCode, data}, nil
}

// pause waits about so long, or less if ctx ends.
func (c *client) pause(ctx context.Context, about time.Duration) {
	if about == 0 {
		return
	}
	t := time.NewTimer(about/2 + time.Duration(c.rng.Int64N(int64(about))))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// write sends a request under an op id of its own.
func (c *client) write(ctx context.Context, method, path, body string) answer {
	return c.ask(ctx, method, path, body, "X-Leap-Op", fmt.Sprintf("%016x%016x", c.rng.Uint64(), c.rng.Uint64()))
}

// next makes up a value that nobody else does.
func (c *client) next() string {
	c.made++
	return fmt.Sprintf("%d.%d", c.id, c.made)
}
