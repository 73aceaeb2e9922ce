package main

import (
	"context"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A bar shows how far a long work is, if a person looks on. It appears once
// something is done, and several goroutines may move it.
type bar struct {
	begin func() (*mpb.Progress, *mpb.Bar) // Nil: nobody looks.

	mu    sync.Mutex
	all   *mpb.Progress
	bar   *mpb.Bar // Nil: it has not appeared.
	ended bool
}

// bar is for a work that counts bytes.
func (a *app) bar(ctx context.Context, what string) *bar {
	f, ok := a.errs.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}
	return &bar{begin: func() (*mpb.Progress, *mpb.Bar) {
		all := mpb.NewWithContext(ctx, mpb.WithOutput(f))
		return all, all.New(0, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(what+" ")),
			mpb.AppendDecorators(decor.Counters(decor.SizeB1000(0), "% .1f of % .1f"), decor.AverageETA(decor.ET_STYLE_MMSS, decor.WC{W: 7})))
	}}
}

// at says how far it is.
func (b *bar) at(done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.begin == nil || b.ended {
		return
	}
	if b.bar == nil {
		b.all, b.bar = b.begin()
	}
	b.bar.SetTotal(total, false)
	b.bar.SetCurrent(done)
}

// end ends it; a second time does nothing.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bar != nil && !b.ended {
		b.bar.SetTotal(-1, true)
		b.all.Wait()
	}
	b.ended = true
}
