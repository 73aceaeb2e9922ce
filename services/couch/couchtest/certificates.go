package couchtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func (s Server) pool(t *testing.T) {
	ctx := limited(t)
	ca, webapp, other := s.DB(t, "ca").Certificates(), s.DB(t, "webapp").Certificates(), s.DB(t, "webapp").Certificates()
	for { // What was there before.
		if _, err := webapp.Take(ctx, ""); err != nil {
			is(t, "an empty pool", err, problem.Unavailable)
			break
		}
	}
	const n = 6
	want := map[string]bool{}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for i := range n {
		cert := record.Certificate{ID: random(), Key: fmt.Sprint("key", i), Cert: fmt.Sprint("cert", i), ValidUntil: until, Plan: lease.Unlimited}
		want[cert.Key] = true
		ok(t, "adding a certificate", ca.Add(ctx, cert))
		is(t, "adding it again", ca.Add(ctx, cert), problem.Exist)
	}
	ok(t, "adding an expired one", ca.Add(ctx, record.Certificate{Key: "old", ValidUntil: time.Now().Add(-time.Minute)}))
	ok(t, "adding one of another plan", ca.Add(ctx, record.Certificate{Key: "slow", ValidUntil: until, Plan: lease.Limited}))
	for plan, want := range map[lease.Plan]int{"": n + 1, lease.Unlimited: n, lease.Limited: 1} {
		size, err := ca.Count(ctx, plan)
		ok(t, "counting", err)
		if size != want {
			t.Errorf("the pool has %d of plan %q, want %d", size, plan, want)
		}
	}
	taken := make([]record.Certificate, n+2)
	good, _ := count(t, "taking", together(n+2, func(i int) error {
		st := webapp
		if i%2 == 0 {
			st = other
		}
		var err error
		taken[i], err = st.Take(ctx, lease.Unlimited)
		return err
	}), problem.Unavailable)
	for _, c := range taken {
		if c.Key != "" && !want[c.Key] {
			t.Errorf("%q was taken twice, or is expired", c.Key)
		}
		delete(want, c.Key)
	}
	if good != n || len(want) != 0 {
		t.Errorf("%d were taken, want %d; left: %v", good, n, want)
	}
	slow, err := webapp.Take(ctx, "")
	ok(t, "taking any", err)
	if slow.Key != "slow" || slow.Plan != lease.Limited {
		t.Errorf("what was left is %q of plan %q", slow.Key, slow.Plan)
	}
}

func (s Server) requests(t *testing.T) {
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	ca, webapp := s.DB(t, "ca").Certificates(), s.DB(t, "webapp").Certificates()
	served := make(chan error, 1)
	go func() {
		served <- ca.Follow(ctx, func(pending []record.CertRequest, _ int) error {
			for _, r := range pending {
				answer := "cert of " + r.Address
				if r.Address == "bad@example.org" {
					r.Error, answer = "no such address", ""
				}
				if r.Address == "late@example.org" {
					continue
				}
				if err := ca.Answer(ctx, r, answer); err != nil && !errors.Is(err, problem.NotExist) && !errors.Is(err, problem.Stale) {
					return err
				}
			}
			return nil
		})
	}()
	for _, err := range together(3, func(i int) error {
		address := fmt.Sprintf("user%d@example.org", i)
		got, err := webapp.RequestSMTP(ctx, record.CertRequest{Address: address, PublicKey: "key"})
		if err == nil && got != "cert of "+address {
			err = fmt.Errorf("got %q", got)
		}
		return err
	}) {
		ok(t, "requesting", err)
	}
	_, err := webapp.RequestSMTP(ctx, record.CertRequest{Address: "bad@example.org"})
	is(t, "a refused request", err, problem.Invalid)
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	id := random()
	_, err = webapp.RequestSMTP(short, record.CertRequest{ID: id, Address: "late@example.org"})
	is(t, "no answer", err, problem.Unavailable)
	is(t, "answering what was taken back", ca.Answer(ctx, record.CertRequest{ID: id}, "x"), problem.NotExist)
	cancel()
	if err := <-served; ctx.Err() == nil {
		t.Errorf("following ended with %v", err)
	}
}
