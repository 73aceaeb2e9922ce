package ca

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff counts failures in a row. The zero value has seen none.
type backoff struct{ wait time.Duration }

// next returns how long to wait after one more failure: minBackoff, doubling
// to maxBackoff, less up to half of it at random.
func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, minBackoff), maxBackoff)
	return b.wait/2 + rand.N(b.wait/2+1)
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
