package walk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/tests/lab"
)

// A course is how a node came to the second release, as far as one sees who asks every
// few seconds.
type course struct {
	said string    // What it said last.
	left time.Time // When it was last seen on the first release.
	good time.Time // When it was first seen to run the second one, found good.
}

// updated: both nodes come to the release by themselves, one after the other.
func updated(t *testing.T, w *walker) {
	begin := time.Now()
	all := map[string]*course{}
	for _, name := range nodes {
		all[name] = &course{left: begin}
	}
	lab.Step(t, "both nodes run the second release", func() {
		w.until(t, rollout, func() error {
			w.watch(t, begin, all)
			for _, name := range nodes {
				if c := all[name]; c.good.IsZero() {
					return fmt.Errorf("%s: %s", name, c.said)
				}
			}
			return nil
		})
	})
	w.says(t, node.UpdateNothing) // A moment later.
	first, second := all[nodes[0]], all[nodes[1]]
	if second.good.Before(first.good) {
		first, second = second, first
	}
	if second.left.Before(first.good) {
		t.Errorf("the second was last seen on the old release %v before the first was good: they do not take turns", first.good.Sub(second.left))
	}
}

// watch looks once at how the nodes are, and tells what is new. One that does not
// answer, is about to restart, or runs what nobody has found good yet, is away.
func (w *walker) watch(t *testing.T, begin time.Time, all map[string]*course) {
	t.Helper()
	asked, now := time.Now(), w.status(t)
	var away []string
	for _, name := range nodes {
		c, said := all[name], "it does not answer"
		s, answers := now[name]
		if answers {
			said = tell(s)
		}
		if said != c.said {
			t.Logf("%6.1f s    %s: %s", time.Since(begin).Seconds(), name, said)
			c.said = said
		}
		switch {
		case !answers || s.Image.State != node.StateGood || s.Update != nil && s.Update.State == node.UpdateArmed:
			away = append(away, name)
		case s.Release == "1.1.0" && c.good.IsZero():
			c.good = asked
		case s.Release == "1.0.0":
			c.left = time.Now()
		}
		if answers && (len(s.Image.Bad) > 0 || s.Release != "1.0.0" && s.Release != "1.1.0") {
			t.Fatalf("%s: %s, %+v", name, said, s.Image)
		}
	}
	if len(away) == len(nodes) {
		t.Fatalf("%q are away at once", away)
	}
}

// tell is how it stands with a node, in a line.
func tell(s node.Status) string {
	line := s.Release + " " + s.Image.State
	if u := s.Update; u != nil {
		line = strings.Join(strings.Fields(line+", "+u.State+" "+u.Release+" "+u.Reason), " ")
	}
	if unwell := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Services)), func(name string) bool { return s.Services[name].Healthy }); len(unwell) > 0 {
		line += fmt.Sprintf(", not healthy: %q", unwell)
	}
	return line
}

// until does something every few seconds until it succeeds.
func (w *walker) until(t *testing.T, patience time.Duration, do func() error) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not in %v: %v", patience, err)
		}
	}
}
