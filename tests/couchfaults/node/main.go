// Command node is "leapd run bigcouch" on a machine that misbehaves: its disk
// is slow, and, if it was built by package lab, its clock jumps. A file says
// how, and may change at any time.
package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/bigcouchtest"
	"leap.example/services/daemon"
	"leap.example/tests/couchfaults/lab"
)

func main() {
	config := flag.String("config", "", "configuration `file`")
	weather := flag.String("weather", "", "`file` that says how the machine misbehaves")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m := &machine{file: *weather, log: log}
	m.look()
	go m.watch(ctx)
	status := daemon.Main(ctx, "bigcouch", *config, func(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
		var cfg bigcouch.Config
		if err := c.Section("bigcouch", &cfg); err != nil {
			return nil, err
		}
		return bigcouchtest.NewSlow(cfg, log, m.delay)
	}, log)
	stop()
	os.Exit(status)
}

// A machine is what the weather acts on.
type machine struct {
	file string
	log  *slog.Logger
	now  lab.Shared
}

func (m *machine) delay() time.Duration { return m.now.Load().Sync }

// watch follows the file until ctx is done.
func (m *machine) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
			m.look()
		}
	}
}

func (m *machine) look() {
	w, err := lab.ReadWeather(m.file)
	if err != nil || w == m.now.Load() {
		return // It is being written: next time.
	}
	m.now.Store(w)
	setClock(w.Clock)
	m.log.Info("weather", "sync_delay", w.Sync, "clock", w.Clock)
}
