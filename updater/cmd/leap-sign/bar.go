package main

import (
	"context"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"leap.example/updater/tufrepo"
)

// progress shows how far the reading of files is, if a person looks on. End must
// be called when all are read.
func (a *app) progress(ctx context.Context) (at tufrepo.Progress, end func()) {
	f, ok := a.errs.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	all := mpb.NewWithContext(ctx, mpb.WithOutput(f))
	bars := map[string]*mpb.Bar{}
	at = func(file string, done, total int64) {
		b := bars[file]
		if b == nil {
			b = all.New(0, mpb.BarStyle(), mpb.PrependDecorators(decor.Name(file+" ")),
				mpb.AppendDecorators(decor.Counters(decor.SizeB1000(0), "% .1f of % .1f"), decor.AverageETA(decor.ET_STYLE_MMSS, decor.WC{W: 7})))
			bars[file] = b
		}
		b.SetTotal(total, false)
		b.SetCurrent(done)
	}
	return at, func() {
		for _, b := range bars {
			b.SetTotal(-1, true)
		}
		all.Wait()
	}
}
