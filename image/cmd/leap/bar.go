package main

import (
	"context"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// A bar shows how far a long work is, if a person looks on.
type bar struct {
	all  *mpb.Progress
	bar  *mpb.Bar // Nil: nobody looks.
	once sync.Once
}

// bar begins to show a work that counts bytes.
func (a *app) bar(ctx context.Context, what string) *bar {
	f, ok := a.errs.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}
	b := &bar{all: mpb.NewWithContext(ctx, mpb.WithOutput(f))}
	b.bar = b.all.New(0, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(what+" ")),
		mpb.AppendDecorators(decor.Counters(decor.SizeB1000(0), "% .1f of % .1f"), decor.AverageETA(decor.ET_STYLE_MMSS, decor.WC{W: 7})))
	return b
}

// at says how far it is.
func (b *bar) at(done, total int64) {
	if b.bar != nil {
		b.bar.SetTotal(total, false)
		b.bar.SetCurrent(done)
	}
}

// end ends it; a second time does nothing.
func (b *bar) end() {
	b.once.Do(func() {
		if b.bar != nil {
			b.bar.SetTotal(-1, true)
			b.all.Wait()
		}
	})
}
