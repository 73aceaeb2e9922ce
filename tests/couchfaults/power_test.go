package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/bigcouchtest"
	"leap.example/services/daemon"
	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/couchfaults/load"
)

var cuts = flag.Int("cuts", 2, "how often the power of all nodes fails")

// The power of all nodes fails at once, under load. Of what was not synced some
// is lost. What clients were told before is there, however often that happens.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, nodes := range powered {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			l, err := lab.New(lab.Options{Dir: t.TempDir(), Nodes: nodes})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := &powerless{t: t, lab: l, rng: rand.New(rand.NewPCG(7, uint64(nodes)))}
			for range l.Nodes {
				p.disks = append(p.disks, bigcouchtest.NewDisk())
			}
			for n := range *cuts {
				p.round(n)
			}
		})
	}
}

// powered are the sizes of clusters whose power fails.
var powered = []int{1, 3}

// A powerless is a cluster in this process whose disks forget.
type powerless struct {
	t     *testing.T
	lab   *lab.Lab
	rng   *rand.Rand
	disks []*bigcouchtest.Disk
}

// start runs all nodes on their disks until stop.
func (p *powerless) start() (stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, n := range p.lab.Nodes {
		c, err := daemon.ReadConfig(n.Config())
		var cfg bigcouch.Config
		if err == nil {
			err = c.Section("bigcouch", &cfg)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		s, err := p.disks[i].Server(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			p.t.Fatal(err)
		}
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				p.t.Errorf("node %s: %v", n.Name, err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// round has clients work, fails the power, and looks at what is there then.
func (p *powerless) round(n int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
	defer cancel()
	a := audit.New(p.lab.URLs(), lab.Admin, lab.Password)
	defer a.Close()
	db := fmt.Sprintf("cut-%d", n)
	stop := p.start()
	parts := []int{1, lab.Shards}[n%2]
	err := lab.Poll(ctx, "a new database", time.Minute, func() error {
		_, err := a.Do(ctx, put, a.URLs[0], fmt.Sprintf("/%s?q=%d", db, parts), "", nil)
		return err
	})
	if err != nil {
		stop()
		p.t.Fatal(err)
	}
	work := load.Start(ctx, load.Options{
		URLs: a.URLs, User: a.User, Password: a.Password, Database: db, Seed: p.rng.Uint64(), Clients: 8, Hot: 4, Laws: parts > 1,
	})
	wanted := 100 + p.rng.IntN(200)
	err = lab.Poll(ctx, "writes", time.Minute, func() error {
		if done := history.Acknowledged(work.Log.Ops()); done < wanted {
			return fmt.Errorf("%d of %d", done, wanted)
		}
		return nil
	})
	begin := work.Log.Now()
	// One after the other, but as if at once: no node hears of what another has
	// done after its power failed.
	p.lab.Partition(func(int, int) bool { return false }, true)
	for i, d := range p.disks {
		p.disks[i] = d.PowerCut([]int{0, 30, 100}[p.rng.IntN(3)], p.rng)
	}
	end := work.Log.Now()
	err = errors.Join(err, work.Stop())
	stop()
	p.lab.Heal()
	a.Close() // Its connections are of another life.
	if err != nil {
		p.t.Fatal(err)
	}
	p.judge(ctx, a, db, before(work.Log.Ops(), begin, end))
}

// before returns operations as they were known when the power failed, which took
// from begin to end.
func before(ops []history.Op, begin, end time.Duration) (known []history.Op) {
	for _, op := range ops {
		switch {
		case op.Outcome != history.Unknown && op.Return < begin:
		case op.Call < end && op.Kind == history.Write:
			op.Outcome = history.Unknown
		default:
			continue
		}
		known = append(known, op)
	}
	return known
}

func (p *powerless) judge(ctx context.Context, a *audit.Auditor, db string, ops []history.Op) {
	p.t.Helper()
	stop := p.start()
	defer stop()
	if err := history.Linearizable(ops, time.Minute); err != nil {
		p.t.Error(err)
	}
	err := lab.Poll(ctx, "the database", time.Minute, func() error {
		_, err := a.Do(ctx, get, a.URLs[0], "/"+db, "", nil)
		return err
	})
	if err == nil && len(a.URLs) > 1 {
		_, err = a.Replicas(ctx, len(p.lab.Voters(0)), time.Minute)
	}
	if err == nil {
		_, err = a.Database(ctx, db, ops)
	}
	if err != nil {
		p.t.Error(err)
	}
	p.t.Logf("%s: %d acknowledged writes are there", db, history.Acknowledged(ops))
}
