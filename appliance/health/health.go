// Package health asks the services of a node how they are, and judges by the
// answers whether a generation or an image is good.
//
// A generation is good when, before a deadline, every service of it runs and
// says that it can do its work, and when from then on for a while none of them
// restarts or stops saying so. It is judged by what services answer on their
// sockets, which leapd serves with each of them (services/daemon), and by the
// count of restarts that the supervisor keeps, since a process that has just
// been started knows nothing of the ones before it.
package health

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"leap.example/services/daemon"
)

// Limits of a question.
const (
	askFor    = 4 * time.Second // A service answers within 3 s.
	answerMax = 64 << 10
	askEvery  = 200 * time.Millisecond
	patience  = 5 * time.Second // With a service that was healthy.
)

// Ask asks the service behind a unix socket how it is. An error says what is
// wrong with it, in words for an operator.
func Ask(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service/", nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("does not answer: %w", err)
	}
	defer resp.Body.Close()
	var all map[string]daemon.Status
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(&all); err != nil {
		return fmt.Errorf("answers what is no status: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s := all[name]; s.Error != "" {
			return fmt.Errorf("%s: %s", name, s.Error)
		}
	}
	return fmt.Errorf("answers with status %d", resp.StatusCode)
}

// A Report is how one service is.
type Report struct {
	Restarts int    // Since it was started for this generation.
	Err      error  // Why it is not healthy. Nil: it is.
	Ended    string // How its last run ended, if it was restarted.
}

// A Gate decides whether something is good.
type Gate struct {
	Ready time.Duration // How long it may take until all are healthy.
	Watch time.Duration // How long they must stay so.
	// Probe reports on all services. It is called until the decision is made.
	Probe func(context.Context) map[string]Report
	// Told is given each change of what is still missing, for people. May be nil.
	Told func(string)
}

// An Unfit error is why something is not good.
type Unfit struct {
	Service string // Whose fault it is. Empty: nobody's.
	Reason  string
}

func (e *Unfit) Error() string { return e.Reason }

// Wait returns nil once all are healthy and have stayed so, an *[Unfit] if that
// does not come to be, and ctx's error if ctx ends before.
func (g Gate) Wait(ctx context.Context) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	deadline := time.Now().Add(g.Ready)
	said := ""
	for {
		who, why := firstUnhealthy(g.Probe(ctx))
		if err := ctx.Err(); err != nil {
			return err
		}
		if why == "" {
			break
		}
		if why != said && g.Told != nil {
			g.Told("waiting: " + why)
			said = why
		}
		if time.Now().After(deadline) {
			return &Unfit{who, fmt.Sprintf("not healthy within %v: %s", g.Ready, why)}
		}
		if err := next(ctx, tick); err != nil {
			return err
		}
	}
	if g.Told != nil {
		g.Told(fmt.Sprintf("all services are healthy, and watched for %v", g.Watch))
	}
	return g.watch(ctx, tick)
}

// watch sees to it that nothing changes for the worse. What passes within
// [patience] is a moment's load.
func (g Gate) watch(ctx context.Context, tick *time.Ticker) error {
	first := g.Probe(ctx)
	end := time.Now().Add(g.Watch)
	var bad time.Time // Since when.
	for time.Now().Before(end) {
		if err := next(ctx, tick); err != nil {
			return err
		}
		now := g.Probe(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if now[name].Restarts > first[name].Restarts {
				return &Unfit{name, strings.TrimSuffix(fmt.Sprintf("%s has restarted while it was watched: %s", name, now[name].Ended), ": ")}
			}
		}
		who, why := firstUnhealthy(now)
		switch {
		case why == "":
			bad = time.Time{}
		case bad.IsZero():
			bad = time.Now()
		case time.Since(bad) > patience:
			return &Unfit{who, "no longer healthy: " + why}
		}
	}
	return nil
}

// firstUnhealthy says who is not healthy, and who and why. Empty: nobody.
func firstUnhealthy(all map[string]Report) (who, why string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := all[name].Err; err != nil {
			return name, name + ": " + err.Error()
		}
	}
	return "", ""
}

func next(ctx context.Context, tick *time.Ticker) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tick.C:
		return nil
	}
}
