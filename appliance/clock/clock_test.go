package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// built is when the release of the tests was built. Inside synctest it is 2000.
var built = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

func at(server string, offset, within time.Duration) sample { return sample{server, offset, within} }

func TestAgree(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		samples []sample
		want    time.Duration
		err     error
	}{
		{"nobody", nil, 0, ErrSilent},
		{"one", []sample{at("a", time.Hour, 9*ms)}, time.Hour, nil},
		{"two who agree", []sample{at("a", 0, 60*ms), at("b", 100*ms, 50*ms)}, 100 * ms, nil},
		{"two who do not", []sample{at("a", 0, 40*ms), at("b", 100*ms, 50*ms)}, 0, ErrDisagree},
		{"one liar of three", []sample{at("a", 10*ms, 50*ms), at("liar", time.Hour, ms), at("b", 20*ms, 60*ms)}, 10 * ms, nil},
		{"two liars of four", []sample{at("a", 0, 50*ms), at("b", 0, 50*ms), at("c", time.Hour, ms), at("d", time.Hour, ms)}, 0, ErrDisagree},
		{"two liars of five", []sample{at("a", 0, 50*ms), at("b", 0, 50*ms), at("c", time.Hour, ms), at("d", time.Hour, ms), at("e", 5*ms, 20*ms)}, 5 * ms, nil},
		{"a chain where each meets the next only", []sample{at("a", 0, 60*ms), at("b", 100*ms, 60*ms), at("c", 200*ms, 60*ms)}, 0, nil},
		{"a vague one holds two apart", []sample{at("a", 0, ms), at("b", 100*ms, ms), at("vague", 50*ms, time.Second)}, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := agree(tt.samples)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// fake is a machine whose clock is off, and what its servers say of the true
// time. Its servers speak the truth but for what lies holds.
type fake struct {
	mu    sync.Mutex
	off   time.Duration
	lies  map[string]time.Duration
	dead  map[string]bool
	did   []string
	asked int
}

func (f *fake) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.off)
}

func (f *fake) step(d time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off += d
	f.did = append(f.did, fmt.Sprintf("step %v", d))
	return nil
}

func (f *fake) slew(d time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off += d
	f.did = append(f.did, fmt.Sprintf("slew %v", d))
	return nil
}

func (f *fake) ask(_ context.Context, server string) (sample, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.dead[server] {
		return sample{}, errors.New("no answer")
	}
	return sample{server, f.lies[server] - f.off, leastWithin}, nil
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	did := f.did
	f.did = nil
	return did
}

// life runs a clock in fake time.
func life(t *testing.T, f *fake, offered []string, live func(t *testing.T, c *Clock)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newClock(Config{Built: built, Offered: func() []string { return offered }, Log: slog.New(slog.DiscardHandler)}, f)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		live(t, c)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func must(t *testing.T, f *fake, want ...string) {
	t.Helper()
	if got := f.done(); !slices.Equal(got, want) {
		t.Errorf("it did %v, want %v", got, want)
	}
}

func TestStepsThenSlews(t *testing.T) {
	f := &fake{off: -2 * time.Hour, lies: map[string]time.Duration{"liar": 48 * time.Hour}}
	life(t, f, nil, func(t *testing.T, c *Clock) {
		c.SetServers([]string{"a", "liar", "b"})
		if err := c.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		must(t, f, "step 2h0m0s")
		f.set(func() { f.off = 300 * time.Millisecond })
		time.Sleep(2 * interval)
		if got := f.done(); len(got) == 0 || got[0] != "slew -300ms" {
			t.Errorf("it did %v", got)
		}
		// The machine was stopped.
		f.set(func() { f.off = -10 * time.Minute })
		time.Sleep(2 * interval)
		if got := f.done(); len(got) == 0 || got[0] != "step 10m0s" {
			t.Errorf("it did %v", got)
		}
	})
}

// TestSet has somebody ask for the time at once, and looks at what a clock knows.
func TestSet(t *testing.T) {
	f := &fake{off: -2 * time.Hour}
	life(t, f, nil, func(t *testing.T, c *Clock) {
		if err := c.Set(t.Context()); !errors.Is(err, ErrSilent) {
			t.Errorf("without servers: %v", err)
		}
		if err := c.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if s := c.State(); !s.Known || s.Told || !s.Asked.IsZero() {
			t.Errorf("its own clock is %+v", s)
		}
		c.SetServers([]string{"a"})
		time.Sleep(2 * again)
		synctest.Wait()
		if s := c.State(); !s.Told || s.Asked.IsZero() || !slices.Equal(s.Servers, []string{"a"}) || s.Err != nil {
			t.Errorf("it was told %+v", s)
		}
		f.done()
		f.set(func() { f.off = 500 * time.Millisecond }) // Nobody would set it for that.
		if err := c.Set(t.Context()); err != nil {
			t.Error(err)
		}
		must(t, f, "step -500ms")
		if s := c.State(); s.Offset != -500*time.Millisecond {
			t.Errorf("it was %+v", s)
		}
		f.set(func() { f.dead = map[string]bool{"a": true} })
		if err := c.Set(t.Context()); !errors.Is(err, ErrSilent) || !errors.Is(c.State().Err, ErrSilent) {
			t.Errorf("nobody answers: %v, %+v", err, c.State())
		}
	})
}

func TestPassingErrorIsNotFollowed(t *testing.T) {
	f := &fake{}
	life(t, f, nil, func(t *testing.T, c *Clock) {
		c.SetServers([]string{"a"})
		if err := c.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		must(t, f, "slew 0s")
		// One bad answer, then a good one five seconds later.
		f.set(func() { f.lies = map[string]time.Duration{"a": time.Hour}; f.asked = 0 })
		for asked := 0; asked == 0; f.set(func() { asked = f.asked }) {
			time.Sleep(time.Second)
		}
		f.set(func() { f.lies = nil })
		time.Sleep(2 * again)
		must(t, f, "slew 0s")
	})
}

func TestUnknown(t *testing.T) {
	far := map[string]time.Duration{"a": -10 * 365 * 24 * time.Hour}
	future := map[string]time.Duration{"a": 30 * 365 * 24 * time.Hour}
	for _, tt := range []struct {
		name    string
		f       *fake
		servers []string
		want    error
	}{
		{"silent", &fake{dead: map[string]bool{"a": true, "b": true}}, []string{"a", "b"}, ErrSilent},
		{"at odds", &fake{lies: map[string]time.Duration{"a": time.Hour}}, []string{"a", "b"}, ErrDisagree},
		{"before the release", &fake{lies: far}, []string{"a"}, ErrImpossible},
		{"after its lifetime", &fake{lies: future}, []string{"a"}, ErrImpossible},
		{"own clock before the release", &fake{off: -10 * 365 * 24 * time.Hour}, nil, ErrImpossible},
	} {
		t.Run(tt.name, func(t *testing.T) {
			life(t, tt.f, nil, func(t *testing.T, c *Clock) {
				c.SetServers(tt.servers)
				start := time.Now()
				err := c.Wait(t.Context(), 30*time.Second)
				if !errors.Is(err, ErrUnknown) || !errors.Is(err, tt.want) || !errors.Is(c.Err(), tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if waited := time.Since(start); waited != 30*time.Second {
					t.Errorf("it waited %v", waited)
				}
				must(t, tt.f)
				if asked := tt.f.asked; asked > 8*len(tt.servers) {
					t.Errorf("it asked %d times in 30 s", asked)
				}
				// They come to their senses.
				tt.f.set(func() { tt.f.lies, tt.f.dead, tt.f.off = nil, nil, 0 })
				if err := c.Wait(t.Context(), 2*time.Minute); err != nil {
					t.Errorf("later: %v", err)
				}
			})
		})
	}
}

func TestServersOfDHCPAndNone(t *testing.T) {
	f := &fake{off: time.Hour}
	life(t, f, []string{"offered"}, func(t *testing.T, c *Clock) {
		if err := c.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		must(t, f, "step -1h0m0s")
		f.set(func() { f.dead = map[string]bool{"offered": true} })
		c.SetServers([]string{"a"})
		time.Sleep(time.Second)
		must(t, f, "slew 0s")
		if !c.Known() || c.Err() != nil {
			t.Errorf("known: %v, %v", c.Known(), c.Err())
		}
	})
	f = &fake{}
	life(t, f, nil, func(t *testing.T, c *Clock) {
		if err := c.Wait(t.Context(), 5*time.Second); !errors.Is(err, ErrUnknown) {
			t.Errorf("the machine's clock is believed at once: %v", err)
		}
		if err := c.Wait(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
		must(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Wait(ctx, time.Hour); err != nil {
			t.Errorf("known, but %v", err)
		}
	})
}
