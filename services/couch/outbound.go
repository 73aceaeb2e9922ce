package couch

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-kivik/kivik/v4"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Outbound is the relay's queue: messages on their way out, and a row for each
// recipient domain of a message.
type Outbound struct {
	db     database
	waiter waiter
}

// Outbound returns the store of outgoing mail.
func (d *DB) Outbound() *Outbound { return &Outbound{db: d.in("outbound", "queued message")} }

// messagePrefix begins the ids of messages; ids of rows have no colon.
const messagePrefix = "m:"

// orphanAge is after how long a message without rows is removed.
const orphanAge = 24 * time.Hour

// messageDoc is a message as it is stored.
type messageDoc struct {
	bodyMeta

	Type      string `json:"type"`       // "OutboundMessage".
	CreatedAt int64  `json:"created_at"` // Unix time, seconds.
}

// rowDoc is a row as it is stored.
type rowDoc struct {
	record.OutboundRow

	Due int64 `json:"due"` // Unix time from which on the row may be leased.
}

func newRowDoc(r record.OutboundRow) rowDoc {
	r.Type = "OutboundRow"
	due := r.NextAttempt
	if r.LeaseOwner != "" && r.LeaseUntil.After(due) {
		due = r.LeaseUntil
	}
	return rowDoc{r, due.Unix()}
}

// Add stores a message and its rows, durably, before it returns. After an error
// some of it may be stored: Add may be repeated with the same ids, or the
// message given up, which removes it later if it has no row.
func (s *Outbound) Add(ctx context.Context, msg record.OutboundMessage, rows []record.OutboundRow) error {
	if !plainName(msg.ID) || len(rows) == 0 {
		return problem.Invalid.Errorf("malformed message id, or no recipient")
	}
	docs := make([]any, len(rows))
	for i, r := range rows {
		if !plainName(r.ID) || r.Message != msg.ID {
			return problem.Invalid.Errorf("malformed row of a message")
		}
		r.Rev = ""
		docs[i] = newRowDoc(r)
	}
	info := messageDoc{Type: "OutboundMessage", CreatedAt: msg.CreatedAt.Unix()}
	err := s.db.putBody(ctx, messagePrefix+msg.ID, &info, msg.Sealed)
	if err != nil && problem.KindOf(err) != problem.Exist {
		return err
	}
	results, err := s.db.bulk(ctx, docs) // A row that is there was added before.
	for _, r := range results {
		err = errors.Join(err, r.refused)
	}
	return err
}

// Due returns up to limit rows that may be leased at now, those that are due
// longest first.
func (s *Outbound) Due(ctx context.Context, now time.Time, limit int) ([]record.OutboundRow, error) {
	var list []record.OutboundRow
	q := query{
		Selector: map[string]any{"type": "OutboundRow", "due": map[string]any{"$lte": now.Unix()}},
		Sort:     []map[string]string{{"type": "asc"}, {"due": "asc"}},
		Limit:    min(max(limit, 1), maxDocuments),
	}
	err := s.db.find(ctx, q, "due", into(&list))
	return list, err
}

// Lease gives a row to owner until a time, and returns it as it then is; Stale
// when another one has it.
func (s *Outbound) Lease(ctx context.Context, row record.OutboundRow, owner string, until time.Time) (record.OutboundRow, error) {
	row.LeaseOwner, row.LeaseUntil = owner, until
	return s.Save(ctx, row)
}

// Save stores a row that was read or leased before, and returns it with its new
// Rev; Stale when it was changed since.
func (s *Outbound) Save(ctx context.Context, row record.OutboundRow) (record.OutboundRow, error) {
	doc := newRowDoc(row)
	rev, err := s.db.update(ctx, row.ID, doc)
	if err != nil {
		return record.OutboundRow{}, err
	}
	doc.Rev = rev
	return doc.OutboundRow, nil
}

// Row returns a row as it is now; NotExist when there is none.
func (s *Outbound) Row(ctx context.Context, id string) (record.OutboundRow, error) {
	if !plainName(id) {
		return record.OutboundRow{}, problem.NotExist.Errorf("no such row")
	}
	var doc rowDoc
	err := s.db.get(ctx, id, &doc, kivik.Param("r", readFresh))
	return doc.OutboundRow, err
}

// Message returns a message; NotExist when there is none.
func (s *Outbound) Message(ctx context.Context, id string) (record.OutboundMessage, error) {
	if !plainName(id) {
		return record.OutboundMessage{}, problem.NotExist.Errorf("no such queued message")
	}
	var info messageDoc
	body, err := s.db.body(ctx, messagePrefix+id, &info)
	if err != nil {
		return record.OutboundMessage{}, err
	}
	return record.OutboundMessage{ID: id, Sealed: body, CreatedAt: time.Unix(info.CreatedAt, 0).UTC()}, nil
}

// Remove deletes a row, and its message when it was the last one; Stale when
// the row was changed or removed since it was read.
func (s *Outbound) Remove(ctx context.Context, row record.OutboundRow) error {
	err := s.db.get(ctx, row.ID, new(meta))
	if problem.KindOf(err) == problem.NotExist {
		return problem.Stale.Errorf("the row was removed meanwhile")
	}
	if err != nil {
		return err
	}
	if err := s.db.remove(ctx, row.ID, row.Rev); err != nil {
		return err
	}
	left, err := s.rows(ctx, row.Message)
	if err != nil || left {
		return err
	}
	return s.db.erase(ctx, messagePrefix+row.Message)
}

// rows reports whether a message has rows.
func (s *Outbound) rows(ctx context.Context, message string) (bool, error) {
	var list []meta
	q := query{Selector: map[string]any{"message": message}, Fields: []string{"_id"}, Limit: 1}
	err := s.db.find(ctx, q, "message", into(&list))
	return len(list) > 0, err
}

// Wait returns when the queue has changed since its last return; the first call
// returns at once. It has no deadline but ctx. One goroutine at a time waits on
// an Outbound.
func (s *Outbound) Wait(ctx context.Context) error { return s.waiter.wait(ctx, s.db) }

// sweep removes messages that lost their rows, or never got any, a day ago.
func (s *Outbound) sweep(ctx context.Context, now time.Time) error {
	for span := prefix(messagePrefix, maxDocuments); ; {
		docs, err := s.db.list(ctx, span)
		if err != nil {
			return err
		}
		for _, raw := range docs {
			var doc messageDoc
			if err := json.Unmarshal(raw, &doc); err != nil {
				return err
			}
			span.start = doc.ID
			if now.Sub(time.Unix(doc.CreatedAt, 0)) < orphanAge {
				continue
			}
			left, err := s.rows(ctx, strings.TrimPrefix(doc.ID, messagePrefix))
			if err == nil && !left {
				err = s.db.remove(ctx, doc.ID, doc.Rev)
			}
			if err != nil {
				return err
			}
		}
		if len(docs) < maxDocuments {
			return nil
		}
	}
}
