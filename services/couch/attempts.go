package couch

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	maxAttempts  = 4
	firstPause   = 25 * time.Millisecond
	pauseGrowth  = 4
	readFresh    = 2 // Parameter r: through the leader, or a majority.
	maxDocuments = 1000
)

// attempts calls f until it succeeds or fails for good: the one place that
// repeats requests. f is told whether an earlier attempt may have had its
// effect. All attempts carry one op id, so that a node that knows it does a
// write once; where it is not known, f has to look when it was unclear.
func attempts(ctx context.Context, f func(ctx context.Context, unclear bool) error) error {
	ctx, cancel := context.WithTimeout(withOp(ctx), requestTimeout)
	defer cancel()
	doubt := false
	pause := firstPause
	for n := 1; ; n++ {
		err := f(ctx, doubt)
		if err == nil || n == maxAttempts || ctx.Err() != nil || !again(err) {
			return err
		}
		doubt = doubt || !dialling(err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause *= pauseGrowth
	}
}

// read is the function read for this database. Where an old answer is better
// than none, that is what there is when no majority can be reached.
func (d database) read(ctx context.Context, f func(ctx context.Context) error) error {
	return read(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if d.stale && isStatus(err, http.StatusServiceUnavailable) {
			err = f(context.WithValue(ctx, staleKey{}, true))
		}
		return err
	})
}

// read calls f until it succeeds or fails for good. f starts anew each time.
func read(ctx context.Context, f func(ctx context.Context) error) error {
	return attempts(ctx, func(ctx context.Context, _ bool) error { return f(ctx) })
}
