package couchtest

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

func (s Server) outbound(t *testing.T) {
	ctx := limited(t)
	st, other := s.DB(t, "relay").Outbound(), s.DB(t, "relay").Outbound()
	now := time.Now().UTC().Truncate(time.Second)
	msg := record.OutboundMessage{ID: random(), Sealed: bytes.Repeat([]byte{0, 1, 254}, 1000), CreatedAt: now}
	row := func(due time.Time) record.OutboundRow {
		return record.OutboundRow{ID: random(), Message: msg.ID, Sealed: "x", NextAttempt: due, CreatedAt: now}
	}
	first, second2, later := row(now.Add(-2*time.Minute)), row(now.Add(-time.Minute)), row(now.Add(time.Hour))
	rows := []record.OutboundRow{second2, later, first}
	ok(t, "adding", st.Add(ctx, msg, rows))
	ok(t, "adding again", st.Add(ctx, msg, rows))
	is(t, "adding without rows", st.Add(ctx, msg, nil), problem.Invalid)

	mine := func(at time.Time) (out []record.OutboundRow) {
		t.Helper()
		list, err := st.Due(ctx, at, 1000)
		ok(t, "asking what is due", err)
		for _, r := range list {
			if r.Message == msg.ID {
				out = append(out, r)
			}
		}
		return out
	}
	due := mine(now)
	if len(due) != 2 || due[0].ID != first.ID || due[1].ID != second2.ID {
		t.Fatalf("due are %+v, want %s and %s", due, first.ID, second2.ID)
	}
	one, err := st.Due(ctx, now, 1)
	ok(t, "asking for one", err)
	if len(one) != 1 {
		t.Errorf("asked for one, got %d", len(one))
	}
	leases := make([]record.OutboundRow, 3)
	good, _ := count(t, "leasing one row", together(3, func(i int) error {
		st := []interface {
			Lease(context.Context, record.OutboundRow, string, time.Time) (record.OutboundRow, error)
		}{st, other}[i%2]
		var err error
		leases[i], err = st.Lease(ctx, due[0], "owner", now.Add(10*time.Minute))
		return err
	}), problem.Stale)
	if good != 1 {
		t.Fatalf("%d of three leased the row", good)
	}
	if left := mine(now); len(left) != 1 || left[0].ID != second2.ID {
		t.Errorf("due besides the leased row are %+v", left)
	}
	if left := mine(now.Add(11 * time.Minute)); len(left) != 2 {
		t.Errorf("after the lease %d are due, want 2", len(left))
	}
	leased := leases[slices.IndexFunc(leases, func(r record.OutboundRow) bool { return r.Rev != "" })]
	leased.Attempts, leased.LastResult, leased.LeaseOwner = 1, "450 4.7.1", ""
	leased.NextAttempt = now.Add(5 * time.Minute)
	saved, err := st.Save(ctx, leased)
	ok(t, "saving", err)
	if left := mine(now.Add(6 * time.Minute)); len(left) != 2 || left[1].Attempts != 1 {
		t.Errorf("due after the row was given back: %+v", left)
	}
	is(t, "saving what was changed", second(st.Save(ctx, leased)), problem.Stale)
	is(t, "removing what was changed", st.Remove(ctx, leased), problem.Stale)

	got, err := st.Message(ctx, msg.ID)
	ok(t, "reading the message", err)
	same(t, "the message", got, msg)
	ok(t, "removing a row", st.Remove(ctx, saved))
	ok(t, "removing a row", st.Remove(ctx, due[1]))
	ok(t, "the message with a row left", second(st.Message(ctx, msg.ID)))
	all := mine(now.Add(2 * time.Hour))
	if len(all) != 1 {
		t.Fatalf("%d rows are left, want 1", len(all))
	}
	ok(t, "removing the last row", st.Remove(ctx, all[0]))
	is(t, "the message without rows", second(st.Message(ctx, msg.ID)), problem.NotExist)
	is(t, "a strange id", second(st.Message(ctx, "_x:y")), problem.NotExist)

	ok(t, "the first wait", st.Wait(ctx))
	woken := make(chan error, 1)
	go func() { woken <- st.Wait(ctx) }()
	msg.ID = random()
	ok(t, "adding", other.Add(ctx, msg, []record.OutboundRow{row(now)}))
	ok(t, "waking", <-woken)
}

func (s Server) shared(t *testing.T) {
	ctx := limited(t)
	st := s.DB(t, "soledad").Shared()
	doc := newDocument("_%"+random(), "r:1")
	is(t, "nothing", second(st.Get(ctx, doc.ID)), problem.NotExist)
	ok(t, "storing", st.Put(ctx, doc, ""))
	is(t, "storing again as new", st.Put(ctx, doc, ""), problem.Stale)
	is(t, "storing over another revision", st.Put(ctx, doc, "r:9"), problem.Stale)
	got, err := st.Get(ctx, doc.ID)
	ok(t, "reading", err)
	same(t, "the document", got, doc)
	next := doc
	next.Rev, next.Content = "r:2", `{"a":2}`
	good, _ := count(t, "two changes at once", together(2, func(int) error { return st.Put(ctx, next, doc.Rev) }), problem.Stale)
	if good != 1 {
		t.Errorf("%d of two changes succeeded", good)
	}
	is(t, "deleting an old revision", st.Delete(ctx, doc.ID, doc.Rev), problem.Stale)
	ok(t, "deleting", st.Delete(ctx, doc.ID, next.Rev))
	is(t, "deleting again", st.Delete(ctx, doc.ID, next.Rev), problem.NotExist)
	is(t, "reading what was deleted", second(st.Get(ctx, doc.ID)), problem.NotExist)
	is(t, "changing what was deleted", st.Put(ctx, next, "r:1"), problem.NotExist)
	ok(t, "storing anew", st.Put(ctx, doc, ""))
	is(t, "a malformed id", second(st.Get(ctx, "a b")), problem.Invalid)
}
