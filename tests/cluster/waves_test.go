package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/provider"
	"leap.example/image/uki"
	"leap.example/tests/lab"
	"leap.example/tests/play"
	"leap.example/tests/releases"
	"leap.example/updater/target"
)

const (
	updateMemory = 512              // MiB of each node: firmware wants more.
	updatesFor   = 40 * time.Minute // For all three, one after the other, on a machine that is busy.
	between      = 30 * time.Second // Of two waves.
	writeEvery   = time.Second
	slowWrite    = time.Minute // None takes longer: a client gives up then.
)

// TestWaves has the nodes of the database update themselves twice by waves, from the
// copies of one of them, while two people live there: by the whole file, and by what
// has changed. Never are two of them away at once. The second release is halted when one
// of them has it.
func TestWaves(t *testing.T) {
	if !*long {
		t.Skip("it takes half an hour: with -long only")
	}
	r := releases.New(t)
	l, key := newFive(t, func(o *lab.Options) { o.Firmware, o.Memory = true, map[string]int{"": updateMemory} })
	r.Serve(l.Lab())
	updating(t, l, r)
	born(t, l)
	db := newDatabase(t, l, l.Connect(member, key))
	makeInvite(t, l, db)
	s := newStory(t, l, db)
	w := observe(t, l, db)
	steps := s.Begin()
	chosen := slices.IndexFunc(steps, func(one play.Step) bool { return one.What == "alice changes her password" })
	live(t, l, steps[:chosen], map[string]func(){
		"alice signs up with an invite code": func() {
			released(t, l, r, "0.1.0", target.Wave{Percent: 33}, target.Wave{After: target.Duration(between), Percent: 100})
		},
	})
	w.talk(s, "0.1.0", len(databases))
	w.judge("0.1.0")
	r.Runs = "0.1.0"
	scans := slices.IndexFunc(steps, func(one play.Step) bool { return one.What == "the provider holds no word of it" })
	live(t, l, steps[chosen:scans], nil) // Nobody has to choose a password while the database may not answer in time.
	first := target.Wave{Percent: 1}     // Of the nodes, the one that is ahead.
	released(t, l, r, "0.2.0", first, target.Wave{After: target.Duration(updatesFor), Percent: 100})
	w.talk(s, "0.2.0", 1)
	halted(t, l, r, "0.2.0", w)
	planned(t, l, r, target.Rollout{Release: "0.2.0", Begins: time.Now().UTC(), Waves: []target.Wave{{Percent: 100}}})
	w.talk(s, "0.2.0", len(databases))
	w.judge("0.2.0")
	w.end()
	live(t, l, s.Again(), nil)
	l.Step("each had 0.2.0 by what has changed, and the others had all from the one with copies", func() {
		for _, name := range databases {
			logged(t, l, name, `"release":"0.1.0","by":"node/`, `"release":"0.2.0","by":"deltas/`)
		}
		for _, from := range r.From() {
			if from != addresses["db1"] {
				t.Errorf("%s has fetched a release from the vendor", from)
			}
		}
	})
	l.Step("all nodes are healthy at the end", func() { healthyAll(t, l) })
}

// updating has the instance say that the database nodes update themselves: one keeps
// copies, and the others know no other source.
func updating(t *testing.T, l *lab.Lab, r *releases.Repositories) {
	t.Helper()
	for file, root := range map[string][]byte{"vendor": r.Vendor.Repo.RootFile(1), "director": r.Director.Repo.RootFile(1)} {
		check(t, provider.Write(l.Op.Dir, "files/updates/"+file+".json", root, 0o644))
	}
	vendor := map[string]any{"root": "updates/vendor.json"}
	for _, name := range databases {
		l.Op.Set("nodes/"+name+".json", "/updates", map[string]any{"vendor": vendor, "poll": "5s", "canary": name == ahead})
	}
	l.Op.Set("nodes/db1.json", "/updates", map[string]any{
		"vendor":   map[string]any{"root": vendor["root"], "sources": []string{releases.Source("vendor")}},
		"director": map[string]any{"sources": []string{releases.Source("director")}}, "poll": "5s", "mirror": map[string]any{"keep": 2},
	})
}

// ahead is the node that is in the first wave of each release.
const ahead = "db2"

// released publishes a release in waves, with what has changed since the last one.
func released(t *testing.T, l *lab.Lab, r *releases.Repositories, version string, waves ...target.Wave) {
	t.Helper()
	l.Step(version+" is released in waves", func() {
		b, err := uki.Make(t.Context(), lab.Of(version))
		check(t, err)
		if r.Last != nil {
			r.Leads(r.Last, b.UKI)
		}
		r.Last = b.UKI
		r.List(b, version, r.Vendor, r.Director)
		planned(t, l, r, target.Rollout{Release: version, Begins: time.Now().UTC(), Waves: waves})
	})
}

// planned publishes the vendor's plan, and has the node with copies look.
func planned(t *testing.T, l *lab.Lab, r *releases.Repositories, rollout target.Rollout) {
	t.Helper()
	r.Plan(rollout)
	check(t, l.Op.Client("db1").LookForUpdates(t.Context(), false))
}

// halted has the vendor halt a release that one node has: the others, whose time has
// come, do not take it. One of them may be in the first wave by chance, and goes on.
func halted(t *testing.T, l *lab.Lab, r *releases.Repositories, version string, w *observer) {
	t.Helper()
	l.Step(version+" is halted, and who has not begun keeps what it has", func() {
		planned(t, l, r, target.Rollout{Release: version, Begins: time.Now().UTC(), Waves: []target.Wave{{Percent: 100}}, Halt: true})
		held := 0
		for _, name := range databases {
			l.Until(name+" has it or says that it is halted", func(ctx context.Context) error {
				s, err := l.Op.Client(name).Status(ctx)
				switch {
				case err != nil:
					return err
				case s.Release == version && s.Image.State == node.StateGood:
					return nil
				case s.Release != version && s.Update != nil && s.Update.State == node.UpdateHeld && strings.Contains(s.Update.Reason, "halted"):
					held++
					return nil
				}
				return fmt.Errorf("it runs %s and says %+v", s.Release, s.Update)
			})
		}
		if n := w.came(version); held == 0 || n > len(databases)-held {
			t.Errorf("%d nodes say that it is halted, %d have come to it", held, n)
		}
	})
}

// logged checks that a node's log has texts.
func logged(t *testing.T, l *lab.Lab, name string, texts ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, l.Op.SaveLogs(name, path))
	log, err := os.ReadFile(path)
	check(t, err)
	for _, text := range texts {
		if !strings.Contains(string(log), text) {
			t.Errorf("the log of %s has no %q", name, text)
		}
	}
}

// An observer sees which nodes of the database are away, and writes to it all the time.
type observer struct {
	t       *testing.T
	l       *lab.Lab
	end     func()
	mu      sync.Mutex
	away    map[string]map[string]span // Of nodes, by the release that they came to, and name.
	starts  []string                   // Of nodes that nothing had start again.
	writes  int
	slowest time.Duration
}

// A span is from when a node was last seen with the release before to when it was
// first seen good with another one: it was away within that.
type span struct{ from, until time.Time }

// observe looks until it is ended.
func observe(t *testing.T, l *lab.Lab, db play.Database) *observer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &observer{t: t, l: l, away: map[string]map[string]span{}}
	var running sync.WaitGroup
	w.end = func() { cancel(); running.Wait() }
	t.Cleanup(w.end)
	for _, name := range databases {
		running.Go(func() { w.see(ctx, name) })
	}
	l.Until("there is a database to write to", func(ctx context.Context) error {
		return ask(ctx, db, 0, http.MethodPut, "/waves", "", &json.RawMessage{})
	})
	running.Go(func() { w.write(ctx, db) })
	return w
}

// see follows a node.
func (w *observer) see(ctx context.Context, name string) {
	client, release, last, booted := w.l.Op.Client(name), "", time.Time{}, time.Time{}
	for ctx.Err() == nil {
		asked := time.Now()
		s, err := client.Status(ctx)
		switch {
		case err != nil || s.Image.State != node.StateGood || !s.Services["bigcouch"].Healthy:
		case release == "" || s.Release == release:
			if release != "" && s.Booted.Sub(booted).Abs() > 10*time.Second { // Its clock may be set meanwhile.
				w.mu.Lock()
				w.starts = append(w.starts, fmt.Sprintf("%s, as %s, at %s", name, release, s.Booted.Format(time.TimeOnly)))
				w.mu.Unlock()
			}
			release, last, booted = s.Release, asked, s.Booted
		default:
			w.mu.Lock()
			if w.away[s.Release] == nil {
				w.away[s.Release] = map[string]span{}
			}
			w.away[s.Release][name] = span{last, time.Now()}
			w.mu.Unlock()
			release, last, booted = s.Release, asked, s.Booted
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// write writes one document after the other, to one node after the other, each until
// one of them has taken it.
func (w *observer) write(ctx context.Context, db play.Database) {
	for n, k := 0, 0; ctx.Err() == nil; n++ {
		begin := time.Now()
		for ; ctx.Err() == nil; k++ { // What was taken without an answer is written once more, by another name.
			var answer struct{ OK bool }
			if ask(ctx, db, k%len(databases), http.MethodPut, fmt.Sprintf("/waves/%d-%d", n, k), "{}", &answer) == nil {
				break
			}
		}
		w.mu.Lock()
		w.writes, w.slowest = n+1, max(w.slowest, time.Since(begin))
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(writeEvery):
		}
	}
}

// came is how many nodes have come to a release.
func (w *observer) came(version string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.away[version])
}

// talk has people talk to each other until so many nodes have come to a release.
func (w *observer) talk(s *play.Story, version string, nodes int) {
	w.t.Helper()
	mails, end := 0, time.Now().Add(updatesFor)
	w.l.Step(fmt.Sprintf("of three, %d have come to %s, and people talk meanwhile", nodes, version), func() {
		for w.came(version) < nodes {
			if time.Now().After(end) {
				w.t.Fatalf("only %d nodes have come to it in %v", w.came(version), updatesFor)
			}
			check(w.t, s.Talk())
			mails++
		}
	})
	w.t.Logf("           %d mails, each read before the next", mails)
}

// judge checks that nodes came to a release one after the other.
func (w *observer) judge(version string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, a := range w.away[version] {
		w.t.Logf("           %s was away within %.0f s until %s, for %s", name, a.until.Sub(a.from).Seconds(), a.until.Format(time.TimeOnly), version)
		for other, b := range w.away[version] {
			if name < other && a.from.Before(b.until) && b.from.Before(a.until) {
				w.t.Errorf("%s and %s were away at once, for %s", name, other, version)
			}
		}
	}
	for _, start := range w.starts {
		w.t.Errorf("started again: %s", start)
	}
	w.t.Logf("           the longest of %d writes took %.1f s", w.writes, w.slowest.Seconds())
	if w.slowest > slowWrite {
		w.t.Errorf("a write took longer than %v", slowWrite)
	}
}
