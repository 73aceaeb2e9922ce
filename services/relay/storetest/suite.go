package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/relay"
)

// noon is when the suite plays. Stores may round times to the second.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func row(message, id string, next time.Time) record.OutboundRow {
	return record.OutboundRow{
		ID: id, Type: "OutboundRow", Message: message, Sealed: "c2VhbGVk" + id, NextAttempt: next, CreatedAt: noon, LastResult: "451 4.2.0",
	}
}

// Test runs the conformance suite of relay.Outbound. open returns an empty
// store.
func Test(t *testing.T, open func(t *testing.T) relay.Outbound) {
	for name, test := range map[string]func(*testing.T, relay.Outbound){
		"add": testAdd, "due": testDue, "lease": testLease, "remove": testRemove, "wait": testWait,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// same compares rows but for the revision.
func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(record.OutboundRow{}, "Rev"), cmpopts.EquateApproxTime(time.Second)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func add(t *testing.T, s relay.Outbound, id string, rows ...record.OutboundRow) record.OutboundMessage {
	t.Helper()
	msg := record.OutboundMessage{ID: id, Sealed: []byte("sealed\x00\xff " + id), CreatedAt: noon}
	if err := s.Add(t.Context(), msg, rows); err != nil {
		t.Fatalf("Add: %v", err)
	}
	return msg
}

func due(t *testing.T, s relay.Outbound, now time.Time, limit int) []record.OutboundRow {
	t.Helper()
	rows, err := s.Due(t.Context(), now, limit)
	if err != nil {
		t.Fatalf("Due: %v", err)
	}
	return rows
}

func testAdd(t *testing.T, s relay.Outbound) {
	if _, err := s.Message(t.Context(), "none"); !errors.Is(err, problem.NotExist) {
		t.Errorf("a message that is not there: %v, want %v", err, problem.NotExist)
	}
	if got := due(t, s, noon, 10); len(got) != 0 {
		t.Errorf("an empty store has %v due", got)
	}
	a, b := row("m1", "m1-0", noon), row("m1", "m1-1", noon.Add(time.Minute))
	msg := add(t, s, "m1", a, b)
	got, err := s.Message(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "message", msg, got)
	same(t, "rows", []record.OutboundRow{a, b}, due(t, s, noon.Add(time.Hour), 10))

	// Again: what is there stays, what is missing comes.
	changed, c := a, row("m1", "m1-2", noon.Add(2*time.Minute))
	changed.LastResult = "other"
	if err := s.Add(t.Context(), record.OutboundMessage{ID: "m1", Sealed: []byte("other"), CreatedAt: noon}, []record.OutboundRow{changed, c}); err != nil {
		t.Errorf("adding again: %v", err)
	}
	same(t, "rows after adding again", []record.OutboundRow{a, b, c}, due(t, s, noon.Add(time.Hour), 10))
	if got, err := s.Message(t.Context(), "m1"); err != nil || string(got.Sealed) != string(msg.Sealed) {
		t.Errorf("message after adding again: %q, %v; want %q", got.Sealed, err, msg.Sealed)
	}
}

func testDue(t *testing.T, s relay.Outbound) {
	want := []record.OutboundRow{row("m1", "m1-1", noon.Add(-2*time.Hour)), row("m2", "m2-0", noon.Add(-time.Hour)), row("m1", "m1-0", noon)}
	add(t, s, "m1", want[2], want[0], row("m1", "m1-2", noon.Add(5*time.Second)))
	add(t, s, "m2", want[1])
	same(t, "due at noon", want, due(t, s, noon, 10))
	same(t, "two of them", want[:2], due(t, s, noon, 2))
}

func testLease(t *testing.T, s relay.Outbound) {
	add(t, s, "m1", row("m1", "m1-0", noon))
	first := due(t, s, noon, 1)[0]
	mine := first
	mine.Attempts, mine.NextAttempt = 1, noon.Add(5*time.Minute)
	mine, err := s.Lease(t.Context(), mine, "me", noon.Add(10*time.Minute))
	if err != nil {
		t.Fatalf("Lease: %v", err)
	}
	want := row("m1", "m1-0", noon.Add(5*time.Minute))
	want.Attempts, want.LeaseOwner, want.LeaseUntil = 1, "me", noon.Add(10*time.Minute)
	same(t, "leased row", want, mine)
	for name, stale := range map[string]func() error{
		"Lease":  func() error { _, err := s.Lease(t.Context(), first, "you", noon.Add(time.Hour)); return err },
		"Save":   func() error { _, err := s.Save(t.Context(), first); return err },
		"Remove": func() error { return s.Remove(t.Context(), first) },
	} {
		if err := stale(); !errors.Is(err, problem.Stale) {
			t.Errorf("%s of a row that another has: %v, want %v", name, err, problem.Stale)
		}
	}
	if got := due(t, s, noon.Add(7*time.Minute), 1); len(got) != 0 {
		t.Errorf("a leased row is due: %v", got)
	}
	if got := due(t, s, noon.Add(11*time.Minute), 1); len(got) != 1 {
		t.Errorf("after the lease %d rows are due, want 1", len(got))
	}
	mine.LeaseOwner, mine.LeaseUntil, mine.LastResult, mine.Sealed = "", time.Time{}, "452 4.2.2", "bmV3"
	mine, err = s.Save(t.Context(), mine)
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	same(t, "given back", []record.OutboundRow{mine}, due(t, s, noon.Add(7*time.Minute), 1))

	// Of those who want the row at once one gets it.
	won := make(chan error, 8)
	for range cap(won) {
		go func() {
			_, err := s.Lease(t.Context(), mine, "one", noon.Add(time.Hour))
			won <- err
		}()
	}
	var errs []error
	for range cap(won) {
		errs = append(errs, <-won)
	}
	n := len(errs) - len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil }))
	if n != 1 {
		t.Errorf("%d got the row, want 1: %v", n, errs)
	}
}

func testRemove(t *testing.T, s relay.Outbound) {
	add(t, s, "m1", row("m1", "m1-0", noon), row("m1", "m1-1", noon.Add(time.Minute)))
	rows := due(t, s, noon.Add(time.Hour), 10)
	if err := s.Remove(t.Context(), rows[0]); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if err := s.Remove(t.Context(), rows[0]); !errors.Is(err, problem.Stale) && !errors.Is(err, problem.NotExist) {
		t.Errorf("removing again: %v, want %v", err, problem.Stale)
	}
	if _, err := s.Message(t.Context(), "m1"); err != nil {
		t.Errorf("the message with one row left: %v", err)
	}
	if err := s.Remove(t.Context(), rows[1]); err != nil {
		t.Fatalf("Remove: %v", err)
	}
	if _, err := s.Message(t.Context(), "m1"); !errors.Is(err, problem.NotExist) {
		t.Errorf("the message without rows: %v, want %v", err, problem.NotExist)
	}
	if got := due(t, s, noon.Add(time.Hour), 10); len(got) != 0 {
		t.Errorf("still due: %v", got)
	}
}

func testWait(t *testing.T, s relay.Outbound) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	woken := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s.Wait(ctx) == nil {
			select {
			case woken <- struct{}{}:
			default: // Enough of them.
			}
		}
	}()
	for deadline := time.After(time.Second); ; { // Until it rests: it may wake for the past.
		select {
		case <-woken:
			continue
		case <-deadline:
		case <-time.After(200 * time.Millisecond):
		}
		break
	}
	add(t, s, "m1", row("m1", "m1-0", noon))
	select {
	case <-woken:
	case <-ctx.Done():
		t.Error("nobody woke when a row was added")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("Wait does not end with its context")
	}
}
