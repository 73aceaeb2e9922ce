package target_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/updater/target"
)

var begins = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestDue: who waits how long, and who in vain.
func TestDue(t *testing.T) {
	plan := target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{
		{Release: "1.4.0", Begins: begins, Waves: target.DefaultWaves()},
		{Release: "1.5.0", Begins: begins, Waves: []target.Wave{{0, 50}}, Oldest: "1.3.0", Newest: "1.4.0"},
		{Release: "1.6.0", Begins: begins, Waves: []target.Wave{{0, 100}}, Halt: true},
	}}
	for _, c := range []struct {
		release, runs string
		position      int
		hours         int // -1: held.
	}{
		{"1.4.0", "1.3.0", 0, 1},
		{"1.4.0", "1.3.0", 20, 1},
		{"1.4.0", "1.3.0", 21, 4},
		{"1.4.0", "1.3.0", 2047, 144},
		{"1.5.0", "1.3.0", 1023, 0},
		{"1.5.0", "1.3.0", 1024, -1},
		{"1.5.0", "1.2.9", 0, -1},
		{"1.5.0", "1.4.1", 0, -1},
		{"1.6.0", "1.3.0", 0, -1},
		{"1.7.0", "1.3.0", 0, -1},
	} {
		at, err := plan.Due(target.Description{Release: c.release}, target.Machine{Version: c.runs}, c.position)
		if c.hours < 0 {
			if !errors.Is(err, target.ErrHeld) {
				t.Errorf("%+v: at %v, %v", c, at, err)
			}
		} else if err != nil || !at.Equal(begins.Add(time.Duration(c.hours)*time.Hour)) {
			t.Errorf("%+v: at %v, %v", c, at, err)
		}
	}
}

// TestPosition: machines are spread evenly, and each release begins with others.
func TestPosition(t *testing.T) {
	var first [2]map[int]bool
	for i, release := range []string{"1.4.0", "1.5.0"} {
		first[i] = map[int]bool{}
		for machine := range 4096 {
			p := target.Position(fmt.Append(nil, machine), release)
			if p < 0 || p > 2047 {
				t.Fatalf("position %d", p)
			}
			if p < 205 {
				first[i][machine] = true
			}
		}
		if n := len(first[i]); n < 300 || n > 520 { // 410 are expected.
			t.Errorf("%d of 4096 are the first tenth of %s", n, release)
		}
	}
	both := 0
	for machine := range first[0] {
		if first[1][machine] {
			both++
		}
	}
	if both > 100 { // 41 are expected.
		t.Errorf("%d machines are among the first both times", both)
	}
	if got := target.Position([]byte("secret"), "1.4.0"); got != 985 { // A machine keeps its place across releases of this program.
		t.Errorf("position %d", got)
	}
}

// TestBadPlans are refused with what is wrong.
func TestBadPlans(t *testing.T) {
	good := func() target.Plan {
		return target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{{Release: "1.4.0", Begins: begins, Waves: target.DefaultWaves()}}}
	}
	for what, spoil := range map[string]func(*target.Plan){
		"schema 7":      func(p *target.Plan) { p.Schema = 7 },
		"twice there":   func(p *target.Plan) { p.Rollouts = append(p.Rollouts, p.Rollouts[0]) },
		"65 rollouts":   func(p *target.Plan) { p.Rollouts = make([]target.Rollout, 65) },
		`version "new"`: func(p *target.Plan) { p.Rollouts[0].Release = "new" },
		`version ""`:    func(p *target.Plan) { p.Rollouts[0].Release = "" },
		`version "x"`:   func(p *target.Plan) { p.Rollouts[0].Oldest = "x" },
		"are none":      func(p *target.Plan) { p.Rollouts[0].Oldest, p.Rollouts[0].Newest = "1.2.0", "1.1.0" },
		"the year 1":    func(p *target.Plan) { p.Rollouts[0].Begins = time.Time{} },
		"0 waves":       func(p *target.Plan) { p.Rollouts[0].Waves = nil },
		"33 waves":      func(p *target.Plan) { p.Rollouts[0].Waves = make([]target.Wave, 33) },
		"one after the": func(p *target.Plan) { slices.Reverse(p.Rollouts[0].Waves) },
		"more machines": func(p *target.Plan) { p.Rollouts[0].Waves = []target.Wave{{0, 5}, {1, 5}} },
		"100 % at most": func(p *target.Plan) { p.Rollouts[0].Waves = []target.Wave{{0, 101}} },
		"within a year": func(p *target.Plan) { p.Rollouts[0].Waves[6].After = target.Duration(9000 * time.Hour) },
	} {
		p := good()
		spoil(&p)
		if _, err := p.Encode(); !errors.Is(err, target.ErrPlan) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, text := range []string{"", "[]", `{"schema":2}`, `{"schema":1,"rollouts":[{"waves":[{"after":"soon"}]}]}`, `{"schema":1}` + strings.Repeat(" ", target.MaxPlan)} {
		if _, err := target.ParsePlan([]byte(text)); !errors.Is(err, target.ErrPlan) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestLongestPlan: whatever can be written is read again.
func TestLongestPlan(t *testing.T) {
	p := target.Plan{Schema: target.Schema}
	var waves []target.Wave
	for n := range 32 {
		waves = append(waves, target.Wave{After: target.Duration(8000*time.Hour + time.Duration(n+1)*(59*time.Minute+999_999_999)), Percent: n + 69})
	}
	for n := range 64 {
		v := fmt.Sprintf("%d.999999999.999999999.999999999~0123456789abcdef", 999_999_900+n)
		p.Rollouts = append(p.Rollouts, target.Rollout{Release: v, Begins: begins.Add(999_999_999).In(time.FixedZone("", 3600)), Waves: waves, Halt: true, Oldest: v, Newest: v})
	}
	text, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.ParsePlan(append(text, '\n')); err != nil {
		t.Errorf("%d bytes: %v", len(text), err)
	}
}

// FuzzPlan expects that what is read is written and read as the same, and has an
// answer for every machine.
func FuzzPlan(f *testing.F) {
	text, err := target.Plan{Schema: target.Schema, Rollouts: []target.Rollout{{Release: "1.4.0", Begins: begins, Waves: target.DefaultWaves(), Newest: "1.3.9"}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, "1.4.0", "1.3.0", 7)
	f.Add([]byte(`{"schema":1}`), "1.4.0", "1.3.0", 7)
	f.Fuzz(func(t *testing.T, text []byte, release, runs string, position int) {
		p, err := target.ParsePlan(text)
		if err != nil {
			return
		}
		again, err := p.Encode()
		if err != nil {
			t.Fatalf("%q is read and not written: %v", text, err)
		}
		if q, err := target.ParsePlan(again); err != nil || !same(p, q) {
			t.Fatalf("%q is written as %q, %v", text, again, err)
		}
		at, err := p.Due(target.Description{Release: release}, target.Machine{Version: runs}, position&2047)
		if (err == nil) == at.IsZero() {
			t.Fatalf("due %v, %v", at, err)
		}
	})
}

// same compares plans; times are written without their zone's name.
func same(p, q target.Plan) bool {
	if len(p.Rollouts) != len(q.Rollouts) {
		return false
	}
	for i := range p.Rollouts {
		a, b := p.Rollouts[i], q.Rollouts[i]
		if !a.Begins.Equal(b.Begins) {
			return false
		}
		a.Begins = b.Begins
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}
