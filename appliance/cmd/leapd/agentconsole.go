package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// consoleEvery is how often is looked for what the console should show.
const consoleEvery = 2 * time.Second

// tellConsole writes on the console what the network waits for, until ctx is
// done: who cannot reach the node stands before it.
func tellConsole(ctx context.Context, trouble func() []string) error {
	tick := time.NewTicker(consoleEvery)
	defer tick.Stop()
	var told []string
	for {
		if now := trouble(); !slices.Equal(now, told) {
			console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			for _, line := range now {
				fmt.Fprintf(console, "leap: WAITING %s\n", line)
			}
			if len(now) == 0 {
				fmt.Fprintln(console, "leap: the network waits for nothing any more")
			}
			if err := console.Close(); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
