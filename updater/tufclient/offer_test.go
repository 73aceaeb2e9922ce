package tufclient_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// TestFits looks for the newest release that a machine can take, where there is no plan.
func TestFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		later := release("3.0.0")
		later.From = "2.0.0"
		big := release("2.1.0")
		big.LeastRAM = 4096
		arm := release("9.0.0")
		arm.Arch = "arm64"
		for _, d := range []target.Description{release("1.2.0"), release("2.0.0~rc1"), later, big, arm} {
			add(t, w.repo, d)
		}
		w.next()
		must(t, w.check())
		m := machine
		m.RAM = 1024
		for _, test := range []struct{ from, want string }{{"1.0.0", "2.0.0~rc1"}, {"2.0.0", "3.0.0"}, {"2.0.0~rc1", ""}, {"3.0.0", ""}} {
			m.Version = test.from
			got, err := w.view.Offer(t.Context(), m, func(string) int { return 0 })
			switch {
			case test.want == "" && !errors.Is(err, tufclient.ErrNothing):
				t.Errorf("from %s: %v", test.from, err)
			case test.want != "" && (err != nil || got.Target.Description.Version != test.want):
				t.Errorf("from %s: %+v, %v", test.from, got, err)
			}
		}
	})
}

// TestOfferAgain: what lists the releases is fetched once.
func TestOfferAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cfg.Dir = t.TempDir() // It has not looked for any before.
		m := machine
		m.Version = "1.0.0"
		for round := range 2 {
			w.mirror.Asked()
			must(t, w.check())
			if _, err := w.view.Offer(t.Context(), m, func(string) int { return 0 }); !errors.Is(err, tufclient.ErrNothing) {
				t.Error(err)
			}
			if asked, _ := w.mirror.Asked(); round == 1 && len(asked) != 2 {
				t.Errorf("%v were asked for again", asked)
			}
		}
	})
}

// TestOffer: which release has whose turn at what time.
func TestOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		add(t, w.repo, release("1.1.0"))
		w.next() // 1.1.0 and no plan.
		must(t, w.check())
		offer := func(position int) (string, time.Time, error) {
			o, err := w.view.Offer(t.Context(), machine, func(string) int { return position })
			if err != nil {
				return "", time.Time{}, err
			}
			return o.Target.Description.Version, o.Due, nil
		}
		if v, due, err := offer(2047); v != "1.1.0" || !due.IsZero() || err != nil {
			t.Fatalf("without a plan: %s at %v, %v", v, due, err)
		}
		w.repo.DelegatePlans()
		add(t, w.repo, release("1.2.0"))
		now := time.Now().UTC()
		plan := func(rollouts ...target.Rollout) {
			t.Helper()
			text, err := target.Plan{Schema: target.Schema, Rollouts: rollouts}.Encode()
			must(t, err)
			w.repo.Add("rollout", target.PlanPath, text, nil)
			w.repo.Next("targets", "release", "rollout")
			w.repo.Publish()
			maps.Copy(w.mirror.Files, w.repo.Files)
			must(t, w.check())
		}
		old := target.Rollout{Release: "1.1.0", Begins: now.Add(-time.Hour), Waves: []target.Wave{{Percent: 100}}}
		late := target.Rollout{Release: "1.2.0", Begins: now, Waves: []target.Wave{{Percent: 50}, {After: target.Duration(time.Hour), Percent: 100}}}
		plan(old, late)
		for _, c := range []struct {
			position int
			version  string
			due      time.Time
		}{{0, "1.2.0", now}, {1500, "1.1.0", old.Begins}} {
			if v, due, err := offer(c.position); v != c.version || !due.Equal(c.due) || err != nil {
				t.Errorf("at position %d %s at %v, %v", c.position, v, due, err)
			}
		}
		plan(late)
		if v, due, err := offer(1500); v != "1.2.0" || !due.Equal(now.Add(time.Hour)) || err != nil {
			t.Errorf("with one release %s at %v, %v", v, due, err)
		}
		late.Halt = true
		plan(late)
		if v, _, err := offer(0); !errors.Is(err, tufclient.ErrNothing) || !errors.Is(err, target.ErrHeld) {
			t.Errorf("halted: %s, %v", v, err)
		}
		must(t, os.Remove(filepath.Join(w.cfg.Dir, "vendor.plan"))) // It is kept.
		w.mirror.Files = maps.Clone(w.mirror.Files)
		maps.DeleteFunc(w.mirror.Files, func(name string, _ []byte) bool { return name[0] == 't' }) // targets/...
		if v, _, err := offer(0); err == nil || errors.Is(err, tufclient.ErrNothing) {
			t.Errorf("a plan that cannot be had: %s, %v", v, err)
		}
		w.repo.Add("rollout", target.PlanPath, []byte("{}"), nil)
		w.repo.Next("rollout")
		w.repo.Publish()
		maps.Copy(w.mirror.Files, w.repo.Files)
		must(t, w.check())
		if v, _, err := offer(0); !errors.Is(err, target.ErrPlan) {
			t.Errorf("a plan that is none: %s, %v", v, err)
		}
	})
}

// TestVouched: the plan is the vendor's alone, and releases are not.
func TestVouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.next()
		director := tuftest.New(t, time.Now())
		w.cfg.Repositories = append(w.cfg.Repositories, tufclient.Repository{Name: "director", Root: director.RootFile(1), Sources: []tufclient.Source{director.Mirror()}})
		c, err := tufclient.Open(w.cfg)
		must(t, err)
		v, err := c.Check(t.Context())
		must(t, err)
		path := release("1.1.0").Path()
		got, err := v.Vouched(t.Context(), path)
		must(t, err)
		if _, err := v.Lookup(t.Context(), path); !errors.Is(err, tufclient.ErrDisagreement) {
			t.Errorf("for installing: %v", err)
		}
		text, err := c.Read(t.Context(), got, got.Length)
		if err != nil || string(text) != string(content("1.1.0")) {
			t.Errorf("read %.20q, %v", text, err)
		}
		if _, err := c.Read(t.Context(), got, got.Length-1); !errors.Is(err, tufclient.ErrLength) {
			t.Errorf("too long: %v", err)
		}
	})
}
