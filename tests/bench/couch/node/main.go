// Command node is "leapd run bigcouch" that leaves profiles of its life: of the
// processor, and, from the moment it is told to end, of the heap. The benchmark
// runs it in leapd's place where a figure was missed.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"leap.example/services/bigcouch"
	"leap.example/services/daemon"
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	// As leapd is called: run bigcouch --config FILE.
	config := os.Args[len(os.Args)-1]
	status, err := run(config, os.Getenv("LEAP_BENCH_PROFILE"), log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		status = 1
	}
	os.Exit(status)
}

// run runs the node and writes profiles to files whose names begin with path.
func run(config, path string, log *slog.Logger) (status int, err error) {
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return 0, err
	}
	defer pprof.StopCPUProfile()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-told
		cancel(heap(path + ".mem"))
	}()
	status = daemon.Main(ctx, "bigcouch", config, func(c *daemon.Config, log *slog.Logger) (daemon.Service, error) {
		var cfg bigcouch.Config
		if err := c.Section("bigcouch", &cfg); err != nil {
			return nil, err
		}
		return bigcouch.New(cfg, log)
	}, log)
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return status, err
	}
	return status, nil
}

// heap writes a profile of the heap.
func heap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}
