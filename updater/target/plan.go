package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PlanPath is the target that is the plan of a repository of releases.
const PlanPath = "rollout.json"

// A Plan says when machines take which releases. It names no bytes: it can hold a
// release back, and make nobody take one that was not signed.
type Plan struct {
	Schema   int       `json:"schema"` // [Schema].
	Rollouts []Rollout `json:"rollouts"`
}

// A Rollout is when machines take one release: wave after wave.
type Rollout struct {
	Release string    `json:"release"` // As in descriptions.
	Begins  time.Time `json:"begins"`
	Waves   []Wave    `json:"waves"`
	// Halt keeps the release from machines that have not begun to take it. What
	// was begun is not undone.
	Halt bool `json:"halt,omitempty"`
	// Oldest and Newest are the versions of the machines that it is meant for,
	// both included; empty: any.
	Oldest string `json:"oldest,omitempty"`
	Newest string `json:"newest,omitempty"`
}

// A Wave is the share of all machines whose turn has come some time after the
// beginning: those of the waves before and more.
type Wave struct {
	After   Duration `json:"after"`
	Percent int      `json:"percent"`
}

// A Duration is one that JSON has as "36h".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// DefaultWaves are those of a release that is in no haste.
func DefaultWaves() []Wave {
	const hour, day = Duration(time.Hour), 24 * Duration(time.Hour)
	return []Wave{{hour, 1}, {4 * hour, 5}, {day, 15}, {2 * day, 40}, {4 * day, 60}, {5 * day, 90}, {6 * day, 100}}
}

var (
	// ErrPlan is that of a plan that does not say what it must, wrapped.
	ErrPlan = errors.New("the plan of releases is not valid")
	// ErrHeld is a release that the plan keeps from a machine, wrapped.
	ErrHeld = errors.New("the release is held back")
)

// What a plan may have.
const (
	MaxPlan     = 256 << 10 // Bytes of JSON: more than Encode makes of any.
	maxRollouts = 64
	maxWaves    = 32
)

// ParsePlan reads a plan, and checks it.
func ParsePlan(data []byte) (p Plan, err error) {
	if len(data) > MaxPlan {
		return p, fmt.Errorf("%w: it has %d bytes, more than %d", ErrPlan, len(data), MaxPlan)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if p.Schema > Schema {
		return Plan{}, fmt.Errorf("%w: schema %d, and this program reads %d: update to an earlier release first", ErrPlan, p.Schema, Schema)
	}
	if err := p.Validate(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// Encode returns the plan as [ParsePlan] reads it.
func (p Plan) Encode() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return json.MarshalIndent(p, "", "  ")
}

// Validate reports what is missing or contradicts itself.
func (p Plan) Validate() error {
	if p.Schema != Schema {
		return fmt.Errorf("%w: schema %d", ErrPlan, p.Schema)
	}
	if len(p.Rollouts) > maxRollouts {
		return fmt.Errorf("%w: it has %d rollouts, more than %d", ErrPlan, len(p.Rollouts), maxRollouts)
	}
	there := map[string]bool{}
	for _, r := range p.Rollouts {
		if there[r.Release] {
			return fmt.Errorf("%w: release %s is twice there", ErrPlan, r.Release)
		}
		there[r.Release] = true
		if err := r.check(); err != nil {
			return fmt.Errorf("%w: release %s: %w", ErrPlan, r.Release, err)
		}
	}
	return nil
}

func (r Rollout) check() error {
	for _, v := range []string{r.Release, r.Oldest, r.Newest} {
		if v == "" && v != r.Release {
			continue
		}
		if err := CheckVersion(v); err != nil {
			return err
		}
	}
	if r.Oldest != "" && r.Newest != "" && Compare(r.Oldest, r.Newest) > 0 {
		return fmt.Errorf("machines from %s to %s are none", r.Oldest, r.Newest)
	}
	if y := r.Begins.Year(); y < 1970 || y > 9998 { // JSON has no more, and a wave comes later.
		return fmt.Errorf("it begins in the year %d", y)
	}
	if len(r.Waves) == 0 || len(r.Waves) > maxWaves {
		return fmt.Errorf("it has %d waves, from 1 to %d are possible", len(r.Waves), maxWaves)
	}
	last := Wave{After: -1}
	for _, w := range r.Waves {
		if w.After <= last.After || w.Percent <= last.Percent || w.Percent > 100 || w.After > Duration(366*24*time.Hour) {
			return fmt.Errorf("waves come one after the other, within a year, to more machines each, 100 %% at most")
		}
		last = w
	}
	return nil
}

// places is how many machines can be told apart.
const places = 2048

// Position is the place of a machine in the waves of a release, from 0 to 2047.
// It knows it by itself, from a secret that never leaves it, so nobody can single
// it out; and each release has other machines go first.
func Position(secret []byte, release string) int {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(release)) // Never an error.
	return int(binary.BigEndian.Uint64(mac.Sum(nil)) % places)
}

// Due returns when a machine, at a position in its waves, takes a release. It is
// ErrHeld if the plan does not have it do so at all.
func (p Plan) Due(d Description, m Machine, position int) (time.Time, error) {
	r, begun := p.Of(d.Release)
	switch {
	case !begun:
		return time.Time{}, fmt.Errorf("%w: the rollout of %s has not begun", ErrHeld, d.Release)
	case r.Halt:
		return time.Time{}, fmt.Errorf("%w: the rollout of %s is halted: wait for a newer one", ErrHeld, d.Release)
	case r.Oldest != "" && Compare(m.Version, r.Oldest) < 0, r.Newest != "" && Compare(m.Version, r.Newest) > 0:
		return time.Time{}, fmt.Errorf("%w: %s is not for machines that run %s", ErrHeld, d.Release, m.Version)
	}
	for _, w := range r.Waves {
		if position*100 < w.Percent*places {
			return r.Begins.Add(time.Duration(w.After)), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: %s goes to %d %% of all machines, and this is none of them", ErrHeld, d.Release, r.Waves[len(r.Waves)-1].Percent)
}
