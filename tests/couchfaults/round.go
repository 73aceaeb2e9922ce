package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/couchfaults/load"
)

// A round is one fault under load, and the judgement after it. Each has a
// database of its own.
type round struct {
	*plan
	name  string // Of its database.
	parts int    // Of its database.
	laws  bool   // Design documents decide about writes.
	n     int
	rng   *rand.Rand

	lab   *lab.Lab
	load  *load.Load
	audit *audit.Auditor

	acknowledged, unknown, illegal, lost, rows int
	broken, differ                             bool
	gap                                        time.Duration // 0: no leader died.
	detected, harmless                         int           // Nodes with flipped bits.
	spoiled                                    *lab.Node     // One that has not noticed. Nil: none.
	notes                                      []string
}

// clients is how many there are, and hot how many documents they fight over.
const (
	clients = 8
	hot     = 6
)

// play plays the round.
func (r *round) play(ctx context.Context, f fault) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	r.audit = audit.New(r.lab.URLs(), lab.Admin, lab.Password)
	defer r.audit.Close()
	if err := r.create(ctx); err != nil {
		return err
	}
	o := load.Options{
		URLs: r.lab.URLs(), User: lab.Admin, Password: lab.Password, Database: r.name,
		Seed: r.rng.Uint64(), Clients: clients, Hot: hot, Laws: r.laws, Pace: 5 * time.Millisecond,
	}
	feed := load.Follow(ctx, o)
	r.load = load.Start(ctx, o)
	err := r.under(ctx, f)
	err = errors.Join(err, r.load.Stop())
	if err == nil {
		err = r.judged(ctx, feed)
	}
	if err == nil {
		err = r.unspoil(ctx)
	}
	return errors.Join(err, feed.Stop())
}

// judged judges the round when the cluster is whole: anew, if a node turns out
// meanwhile not to be.
func (r *round) judged(ctx context.Context, feed *load.Follower) error {
	for {
		err := r.settle(ctx)
		if err == nil {
			err = r.judge(ctx, feed)
		}
		if err == nil {
			return nil
		}
		if late, e := r.noticed(ctx); !late || e != nil {
			return cmp.Or(e, err)
		}
	}
}

// create makes the round's database and drops one of earlier rounds.
func (r *round) create(ctx context.Context) error {
	a := r.audit
	err := lab.Poll(ctx, "a new database", 30*time.Second, func() error {
		status, err := a.Do(ctx, http.MethodPut, a.URLs[r.rng.IntN(len(a.URLs))], fmt.Sprintf("/%s?q=%d", r.name, r.parts), "", nil)
		if status == http.StatusPreconditionFailed {
			return nil // An earlier try made it, and its answer was lost.
		}
		return err
	})
	if err != nil || r.n <= 3 {
		return err
	}
	_, err = a.Do(ctx, http.MethodDelete, a.URLs[r.rng.IntN(len(a.URLs))], fmt.Sprintf("/round-%d", r.n-3), "", nil)
	return err
}

// under lets the fault happen under load, and wants to see writes go on.
func (r *round) under(ctx context.Context, f fault) error {
	if err := r.progress(ctx, "before the fault"); err != nil {
		return err
	}
	if err := f.do(ctx, r); err != nil {
		return err
	}
	r.lab.Heal()
	if err := r.whole(ctx); err != nil {
		return err
	}
	return r.progress(ctx, "after the fault")
}

// progress returns when some more writes have been acknowledged.
func (r *round) progress(ctx context.Context, when string) error {
	start := history.Acknowledged(r.load.Log.Ops())
	return lab.Poll(ctx, "writes "+when, time.Minute, func() error {
		if n := history.Acknowledged(r.load.Log.Ops()) - start; n < 50 {
			return fmt.Errorf("%d acknowledged", n)
		}
		return nil
	})
}

// settle returns when the cluster is whole.
func (r *round) settle(ctx context.Context) error {
	for _, n := range r.lab.Nodes {
		n.Resume()
	}
	return r.whole(ctx)
}

// whole returns when all nodes serve.
func (r *round) whole(ctx context.Context) error {
	err := r.lab.Start(ctx)
	if err == nil {
		return nil
	}
	if late, e := r.noticed(ctx); !late || e != nil {
		return cmp.Or(e, err)
	}
	return r.lab.Start(ctx)
}

// text is the round as part of a line.
func (r *round) text() string {
	var s strings.Builder
	s.WriteString(fmt.Sprintf("%d acknowledged, %d unknown", r.acknowledged, r.unknown))
	if r.parts > 1 {
		s.WriteString(fmt.Sprintf(", %d parts", r.parts))
	}
	if r.laws {
		s.WriteString(fmt.Sprintf(", %d illegal", r.illegal))
	}
	if r.gap > 0 {
		s.WriteString(fmt.Sprintf(", write gap %.1fs", r.gap.Seconds()))
	}
	for _, note := range r.notes {
		s.WriteString(", " + note)
	}
	return s.String()
}
