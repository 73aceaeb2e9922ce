package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a [Clock] needs.
type Config struct {
	Built   time.Time       // When the release was built: it is never earlier. Required.
	Offered func() []string // Servers for a document that names none: those of DHCP. Optional.
	Log     *slog.Logger    // Required.
}

// ErrUnknown is wrapped by the error of [Clock.Wait].
var ErrUnknown = errors.New("the time is not known")

const (
	stepAbove    = 128 * time.Millisecond // At first; what is less is slewed.
	stepLater    = time.Second
	again        = 5 * time.Second // To look again before the clock is set later.
	interval     = 1024 * time.Second
	firstPause   = time.Second
	longestPause = time.Minute
	ownClock     = 15 * time.Second // Until the machine's clock is believed without servers.
	mostServers  = 8
)

// A Clock is this machine's. Its methods may be called at any time from any
// goroutine.
type Clock struct {
	cfg     Config
	machine machine
	changed chan struct{} // The servers.
	known   chan struct{} // Closed: the time is known.
	asking  chan struct{} // Holds one value during a round.

	mu      sync.Mutex // Guards all below.
	servers []string
	err     error // Of the last round.
	last    State // All but Known, Servers and Err.
}

// A State is what a clock knows of the time.
type State struct {
	Known   bool          // By time servers, or, where there are none, by the machine's own clock.
	Told    bool          // By time servers, since the start.
	Servers []string      // Who is asked.
	Offset  time.Duration // How wrong the clock was when they were asked last and agreed: to add.
	Asked   time.Time     // When that was, by the clock as it was set then.
	Err     error         // Of the last time that they were asked.
}

// New is the clock as it is, with no servers.
func New(cfg Config) *Clock { return newClock(cfg, linux{}) }

func newClock(cfg Config, m machine) *Clock {
	return &Clock{cfg: cfg, machine: m, changed: make(chan struct{}, 1), known: make(chan struct{}), asking: make(chan struct{}, 1)}
}

// SetServers says whom to ask: hosts or host:port, of which the first eight
// count. None: those that are offered, else the machine's own clock is believed.
func (c *Clock) SetServers(servers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(c.servers, servers) {
		return
	}
	c.servers = slices.Clone(servers)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Known reports whether the time is known. Once it is, it stays so.
func (c *Clock) Known() bool {
	select {
	case <-c.known:
		return true
	default:
		return false
	}
}

// Wait waits until the time is known, at most d or until ctx is done. The error
// wraps [ErrUnknown] and the reason, one of [ErrSilent], [ErrDisagree],
// [ErrImpossible] or what the system said.
func (c *Clock) Wait(ctx context.Context, d time.Duration) error {
	if c.Known() {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.known:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return ErrUnknown
}

// Err is why the time could not be learnt when it was last tried. nil: it could,
// or was not tried yet.
func (c *Clock) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// State returns what is known of the time.
func (c *Clock) State() State {
	servers := c.whom()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.last
	s.Known, s.Servers, s.Err = c.Known(), slices.Clone(servers), c.err
	return s
}

// Set asks the servers now, and sets the clock by them at once, if it is not
// nearly right.
func (c *Clock) Set(ctx context.Context) error {
	servers := c.whom()
	if len(servers) == 0 {
		return ErrSilent
	}
	err := c.round(ctx, servers, true)
	if ctx.Err() == nil {
		c.note(err)
	}
	return err
}

// Run keeps the clock until ctx is done; then it returns nil. To be called once.
func (c *Clock) Run(ctx context.Context) error {
	begin := time.Now()
	pause := firstPause
	for ctx.Err() == nil {
		wait := interval
		servers := c.ask()
		var err error
		if len(servers) > 0 {
			err = c.round(ctx, servers, false)
		} else if err = c.believe(time.Since(begin)); err == nil {
			wait = longestPause // Somebody may be offered.
		}
		if ctx.Err() != nil {
			return nil
		}
		c.note(err)
		if err == nil {
			pause = firstPause
		} else {
			wait, pause = pause, min(2*pause, longestPause)
		}
		t := time.NewTimer(wait*3/4 + rand.N(wait/2))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-c.changed:
			pause = firstPause
		}
		t.Stop()
	}
	return nil
}

// ask is whom to ask now.
func (c *Clock) ask() []string {
	c.mu.Lock()
	select {
	case <-c.changed: // It is heeded herewith.
	default:
	}
	c.mu.Unlock()
	return c.whom()
}

// whom is who is asked.
func (c *Clock) whom() []string {
	c.mu.Lock()
	servers := c.servers
	c.mu.Unlock()
	if len(servers) == 0 && c.cfg.Offered != nil {
		servers = c.cfg.Offered()
	}
	return servers[:min(len(servers), mostServers)]
}

func (c *Clock) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && (c.err == nil || err.Error() != c.err.Error()) {
		c.cfg.Log.Warn("time", "error", err)
	}
	c.err = err
	if err == nil && !c.Known() {
		close(c.known)
	}
}

// believe takes the machine's own clock, some time after the start.
func (c *Clock) believe(running time.Duration) error {
	if err := possible(c.machine.now(), c.cfg.Built); err != nil {
		return fmt.Errorf("there is no time server, and by the machine's clock %w", err)
	}
	if running < ownClock && !c.Known() {
		return errors.New("there is no time server yet")
	}
	return nil
}

// round asks all servers and sets or slews the clock. With now it is set as it is
// at first.
func (c *Clock) round(ctx context.Context, servers []string, now bool) error {
	select {
	case c.asking <- struct{}{}:
		defer func() { <-c.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	offset, err := c.learn(ctx, servers)
	if err != nil {
		return err
	}
	now = now || !c.Known()
	if !now && offset.Abs() > stepLater {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(again):
		}
		if offset, err = c.learn(ctx, servers); err != nil {
			return err
		}
	}
	limit := stepLater
	if now {
		limit = stepAbove
	}
	if offset.Abs() > limit {
		c.cfg.Log.Warn("the clock is set", "offset", offset)
		if err := c.machine.step(offset); err != nil {
			return fmt.Errorf("setting the clock: %w", err)
		}
	} else if err := c.machine.slew(offset); err != nil {
		return fmt.Errorf("adjusting the clock: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = State{Told: true, Offset: offset, Asked: c.machine.now()}
	return nil
}

func (c *Clock) learn(ctx context.Context, servers []string) (time.Duration, error) {
	samples, errs := make([]sample, len(servers)), make([]error, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { samples[i], errs[i] = c.machine.ask(ctx, server) })
	}
	wg.Wait()
	var good []sample
	var failed []string
	for i, err := range errs {
		if err != nil {
			failed = append(failed, servers[i]+": "+err.Error())
			continue
		}
		good = append(good, samples[i])
	}
	offset, err := agree(good)
	if err == nil {
		err = possible(c.machine.now().Add(offset), c.cfg.Built)
	}
	if errors.Is(err, ErrSilent) {
		err = fmt.Errorf("%w: %s", err, strings.Join(failed, "; "))
	}
	return offset, err
}
