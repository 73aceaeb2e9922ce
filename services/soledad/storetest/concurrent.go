package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

// testConcurrent: writers of one document take turns, writers of different
// ones do not disturb each other, and the log has them all.
func testConcurrent(t *testing.T, open func() Store) {
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := open()
			for n := range each {
				own := doc(fmt.Sprintf("D-%d-%d", w, n), "a:1", `{}`)
				if _, err := s.Append(t.Context(), []u1db.Document{own}, []string{""}); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				for done := false; !done; {
					prev := ""
					rev := fmt.Sprintf("w%d:%d", w, n+1)
					if d, err := s.Get(t.Context(), "D-all"); err == nil {
						prev = d.Rev
					}
					_, err := s.Append(t.Context(), []u1db.Document{doc("D-all", rev, `{}`)}, []string{prev})
					if done = err == nil; !done && !errors.Is(err, problem.Stale) {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	s := open()
	if _, gen, _, err := s.Info(t.Context()); gen < 2*writers*each || err != nil {
		t.Errorf("generation %d after %d changes, %v", gen, 2*writers*each, err)
	}
	if changes, err := s.Changes(t.Context(), 0, 1000); len(changes) != writers*each+1 || err != nil {
		t.Errorf("%d documents in the log of %d, %v", len(changes), writers*each+1, err)
	}
	consistent(t, s)
}

func testWait(t *testing.T, open func() Store) {
	writer, reader := open(), open()
	add(t, writer, []string{""}, doc("D-1", "a:1", `{}`)) // After reader was opened.
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := reader.Wait(ctx); err != nil {
		t.Fatalf("a change before Wait was called: %v", err)
	}
	// wakes reports that Wait returns for a change that is made while it waits,
	// though it may return without one before.
	wakes := func(what string, change func(), happened func() bool) {
		t.Helper()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			time.AfterFunc(20*time.Millisecond, change)
		})
		for !happened() {
			if err := reader.Wait(ctx); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	wakes("a document", func() {
		if _, err := writer.Append(ctx, []u1db.Document{doc("D-1", "a:2", `{}`)}, []string{"a:1"}); err != nil {
			t.Errorf("appending: %v", err)
		}
	}, func() bool {
		_, gen, _, err := reader.Info(ctx)
		return gen == 2 || err != nil
	})
	wakes("incoming mail", func() {
		if err := writer.AddIncoming(ctx, record.Incoming{ID: "i1", Received: time.Unix(0, 0), Body: []byte("x")}); err != nil {
			t.Errorf("adding: %v", err)
		}
	}, func() bool {
		list, err := reader.Incoming(ctx, 10)
		return len(list) == 1 || err != nil
	})
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for {
		if err := reader.Wait(short); err != nil {
			if short.Err() == nil {
				t.Errorf("Wait: %v", err)
			}
			return
		}
	}
}
