// Package load is many clients of a database cluster, and what they were told.
//
// Each client writes as services do: it edits the revision that it last saw,
// names its write by an op id, and when the answer is lost asks another node
// under the same id, until it has an answer or gives up. What it learns goes
// into a history. Some documents are fought over, others are written once.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/tests/couchfaults/history"
)

// Options say what the clients do.
type Options struct {
	URLs     []string // Of the nodes.
	User     string
	Password string
	Database string // It must be there.
	Seed     uint64
	Clients  int
	Hot      int           // Documents that are fought over.
	Laws     bool          // Design documents decide about writes, and change.
	Pace     time.Duration // Between two operations of a client, on average. 0: none.
	Patience time.Duration // How long a client retries one operation. 0: 8 s.
}

// A Load is clients at work.
type Load struct {
	Log *history.Log

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex // Guards errs.
	errs []error
}

// Start starts the clients. The caller ends with Stop.
func Start(ctx context.Context, o Options) *Load {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{Log: history.NewLog(), cancel: cancel}
	if o.Patience == 0 {
		o.Patience = 8 * time.Second
	}
	law := new(atomic.Int64)
	work := func(id int, run func(*client, context.Context) error) {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(id)))
		c := &client{
			opts: o, id: id, rng: rng, log: l.Log, node: rng.IntN(len(o.URLs)), known: map[string]known{},
			hc: NewHTTP(2500 * time.Millisecond), law: law,
		}
		l.wg.Go(func() {
			defer c.hc.CloseIdleConnections()
			if err := run(c, ctx); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.errs = append(l.errs, fmt.Errorf("client %d: %w", c.id, err))
			}
		})
	}
	for i := range o.Clients {
		work(i, (*client).run)
	}
	if o.Laws {
		work(o.Clients, (*client).legislate)
	}
	return l
}

// Stop ends the clients: operations that are under way get unknown outcomes.
// It returns the first answer that no fault excuses, if there was one.
func (l *Load) Stop() error {
	l.cancel()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		return l.errs[0]
	}
	return nil
}

// NewHTTP returns a client that waits so long for the beginning of an answer,
// and gives up on nodes that do not take its connection.
func NewHTTP(answer time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: answer,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
