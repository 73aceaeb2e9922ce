package vm

import (
	"fmt"
	"sync"
	"time"
)

// ticks reads the processor's time stamp counter.
func ticks() int64

const (
	tscSpan  = 50 * time.Millisecond // Over which the counter is measured.
	tscTries = 20                    // To read clock and counter together.
)

// clockArg tells a guest under TCG, which sees the counter of this machine, how
// fast that is. A kernel would measure it, and is wrong by any factor when the
// emulator gets too little time just then: its clock, and all of its time-outs,
// run that much faster or slower.
var clockArg = sync.OnceValue(func() string {
	began, from := tscRead()
	time.Sleep(tscSpan) // Only to have something to measure.
	ended, to := tscRead()
	return fmt.Sprintf("tsc_early_khz=%d", (to-from)*int64(time.Millisecond)/ended.Sub(began).Nanoseconds())
})

// tscRead reads clock and counter at the same moment, as far as that can be had.
func tscRead() (at time.Time, counter int64) {
	least := time.Duration(1<<63 - 1)
	for range tscTries {
		before := time.Now()
		c := ticks()
		if took := time.Since(before); took < least {
			least, at, counter = took, before, c
		}
	}
	return at, counter
}
