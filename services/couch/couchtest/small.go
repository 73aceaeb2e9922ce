package couchtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func (s Server) customers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	store := s.DB(t, "webapp").Customers()
	c := &record.Customer{ID: random(), Level: "2", CreatedAt: time.Now().UTC().Truncate(time.Second)}
	if err := store.Create(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(ctx, &record.Customer{ID: c.ID}); !errors.Is(err, problem.Exist) {
		t.Errorf("a second customer of one user: %v, want %v", err, problem.Exist)
	}
	old, err := store.ByUser(ctx, c.ID)
	if err != nil || old.Level != "2" {
		t.Fatalf("ByUser = %+v, %v", old, err)
	}
	c.Level = "3"
	if err := store.Update(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := store.Update(ctx, old); !errors.Is(err, problem.Stale) {
		t.Errorf("updating an old revision: %v, want %v", err, problem.Stale)
	}
	if err := store.Delete(ctx, c); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ByUser(ctx, c.ID); !errors.Is(err, problem.NotExist) {
		t.Errorf("a deleted customer: %v, want %v", err, problem.NotExist)
	}
}

func (s Server) keycache(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	store := s.DB(t, "nickserver").Keycache()
	addr := nick.Address(random() + "@other.example")
	if _, err := store.Get(ctx, addr); !errors.Is(err, problem.NotExist) {
		t.Errorf("nobody was asked: %v, want %v", err, problem.NotExist)
	}
	for _, armored := range []string{"KEY", "NEWER", ""} {
		if err := store.Put(ctx, addr, armored, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(ctx, addr); err != nil || got != armored {
			t.Errorf("Get = %q, %v; want %q", got, err, armored)
		}
	}
	if err := store.Put(ctx, addr, "KEY", time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Get(ctx, addr); !errors.Is(err, problem.NotExist) {
		t.Errorf("an expired answer: %v, want %v", err, problem.NotExist)
	}
}
