package target_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/updater/target"
)

// TestParseWaves: what people write, and what they are told.
func TestParseWaves(t *testing.T) {
	for text, want := range map[string][]target.Wave{
		"default":      target.DefaultWaves(),
		"fast":         target.FastWaves(),
		"at-once":      {{0, 100}},
		"30m=5,1h=100": {{target.Duration(30 * time.Minute), 5}, {target.Duration(time.Hour), 100}},
	} {
		got, err := target.ParseWaves(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		p := target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{{Release: "1.4.0", Begins: begins, Waves: got}}}
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "slow", "1h", "1h=", "=5", "1h=5%", "1h=5,"} {
		if got, err := target.ParseWaves(text); err == nil || !strings.Contains(err.Error(), "at-once") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// FuzzWaves expects of waves that are read that they make a plan, which is read as
// the same, or are refused as one.
func FuzzWaves(f *testing.F) {
	for _, s := range []string{"default", "fast", "at-once", "1h=5,24h=100", "1h=5,1h=6", "-1h=5", "1ns=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		waves, err := target.ParseWaves(s)
		if err != nil {
			return
		}
		r := target.Rollout{Release: "1.4.0", Begins: begins, Waves: waves}
		text, err := target.Plan{Schema: target.Schema}.With(r).Encode()
		if errors.Is(err, target.ErrPlan) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := target.ParsePlan(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := p.Of("1.4.0"); !ok || got.String() != r.String() {
			t.Fatalf("%q is written as %s and read as %s", s, text, got)
		}
	})
}

// TestRolloutString: two rollouts that differ read differently.
func TestRolloutString(t *testing.T) {
	first := target.Rollout{Release: "1.4.0", Begins: begins, Waves: target.DefaultWaves()}
	if got := first.String(); got != "from 2026-01-01T00:00:00Z on 1 % after 1h, 5 % after 4h, 15 % after 24h, 40 % after 48h, 60 % after 96h, 90 % after 120h, 100 % after 144h" {
		t.Error(got)
	}
	seen := map[string]bool{first.String(): true}
	for _, change := range []func(*target.Rollout){
		func(r *target.Rollout) { r.Halt = true },
		func(r *target.Rollout) { r.Begins = begins.Add(time.Nanosecond) },
		func(r *target.Rollout) { r.Oldest = "1.2.0" },
		func(r *target.Rollout) { r.Newest = "1.2.0" },
		func(r *target.Rollout) { r.Waves = []target.Wave{{0, 100}} },
		func(r *target.Rollout) { r.Waves = []target.Wave{{1, 100}} },
		func(r *target.Rollout) { r.Waves = []target.Wave{{target.Duration(10 * time.Minute), 100}} },
		func(r *target.Rollout) { r.Waves = []target.Wave{{target.Duration(10 * time.Hour), 100}} },
		func(r *target.Rollout) { r.Waves = []target.Wave{{target.Duration(10*time.Hour + time.Second), 100}} },
	} {
		r := first
		change(&r)
		if seen[r.String()] {
			t.Errorf("%+v reads like another: %s", r, r)
		}
		seen[r.String()] = true
	}
}

// TestPlanWith: a plan changes by one release, and how far one is.
func TestPlanWith(t *testing.T) {
	p := target.Plan{Schema: target.Schema}
	a := target.Rollout{Release: "1.4.0", Begins: begins, Waves: target.DefaultWaves()}
	b := target.Rollout{Release: "1.5.0", Begins: begins, Waves: target.FastWaves()}
	q := p.With(a).With(b)
	halted := a
	halted.Halt = true
	if r := q.With(halted); len(r.Rollouts) != 2 || len(p.Rollouts) != 0 || q.Rollouts[0].Halt {
		t.Errorf("%+v", r)
	} else if got, ok := r.Of("1.4.0"); !ok || !got.Halt || got.Share(begins.Add(1000*time.Hour)) != 0 {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := q.Of("1.6.0"); ok {
		t.Error("1.6.0 is there")
	}
	for hours, percent := range map[int]int{-1: 0, 0: 0, 1: 1, 23: 5, 24: 15, 144: 100, 9000: 100} {
		if got := a.Share(begins.Add(time.Duration(hours) * time.Hour)); got != percent {
			t.Errorf("after %d hours %d %%", hours, got)
		}
	}
}
