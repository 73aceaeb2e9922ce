package target

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FastWaves are those of a release that must be everywhere within a day, and is still
// seen to fail before it is.
func FastWaves() []Wave {
	const hour = Duration(time.Hour)
	return []Wave{{hour, 5}, {6 * hour, 25}, {12 * hour, 50}, {24 * hour, 100}}
}

// ParseWaves reads waves as people write them: "default", "fast", "at-once", or a
// list like "1h=5,24h=100", of times after the beginning and shares of all machines.
func ParseWaves(s string) ([]Wave, error) {
	switch s {
	case "default":
		return DefaultWaves(), nil
	case "fast":
		return FastWaves(), nil
	case "at-once":
		return []Wave{{0, 100}}, nil
	}
	var list []Wave
	for part := range strings.SplitSeq(s, ",") {
		after, percent, _ := strings.Cut(part, "=")
		d, err1 := time.ParseDuration(after)
		n, err2 := strconv.Atoi(percent)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("waves %q: default, fast, at-once, or a list like 1h=5,24h=100 of times after the beginning and per cent of all machines", s)
		}
		list = append(list, Wave{Duration(d), n})
	}
	return list, nil
}

// Of returns the rollout of a release.
func (p Plan) Of(release string) (Rollout, bool) {
	for _, r := range p.Rollouts {
		if r.Release == release {
			return r, true
		}
	}
	return Rollout{}, false
}

// With returns the plan with a rollout in the place of that of the same release.
func (p Plan) With(r Rollout) Plan {
	p.Rollouts = slices.DeleteFunc(slices.Clone(p.Rollouts), func(o Rollout) bool { return o.Release == r.Release })
	p.Rollouts = append(p.Rollouts, r)
	return p
}

// Share is how many of all machines, in per cent, may take the release at a time.
func (r Rollout) Share(now time.Time) (percent int) {
	for _, w := range r.Waves {
		if !r.Halt && !now.Before(r.Begins.Add(time.Duration(w.After))) {
			percent = w.Percent
		}
	}
	return percent
}

// String says all that is in a rollout, but for whom it is: two that differ read
// differently.
func (r Rollout) String() string {
	var s strings.Builder
	if r.Halt {
		s.WriteString("HALTED; ")
	}
	fmt.Fprintf(&s, "from %s on ", r.Begins.UTC().Format(time.RFC3339Nano))
	for i, w := range r.Waves {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(w.String())
	}
	if r.Oldest != "" || r.Newest != "" {
		fmt.Fprintf(&s, "; only for machines that run %s to %s", cmp.Or(r.Oldest, "any"), cmp.Or(r.Newest, "any"))
	}
	return s.String()
}

// String is like "5 % after 4h".
func (w Wave) String() string {
	if w.After == 0 {
		return fmt.Sprintf("%d %% at once", w.Percent)
	}
	after := time.Duration(w.After).String()
	if strings.HasSuffix(after, "m0s") {
		after = strings.TrimSuffix(after, "0s")
	}
	if strings.HasSuffix(after, "h0m") {
		after = strings.TrimSuffix(after, "0m")
	}
	return fmt.Sprintf("%d %% after %s", w.Percent, after)
}
