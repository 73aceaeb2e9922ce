package couch

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const incomingPrefix = "in-"

// incomingDoc is a queued message as it is stored.
type incomingDoc struct {
	bodyMeta

	Received time.Time `json:"received"`
}

func (u *UserDB) incomingID(id string) (string, error) {
	if !plainName(id) {
		return "", problem.NotExist.Errorf("no such incoming message")
	}
	return incomingPrefix + id, u.err
}

// AddIncoming appends a sealed message to the queue, durably before it returns.
// One that is there already, by its ID, is added.
func (u *UserDB) AddIncoming(ctx context.Context, in record.Incoming) error {
	id, err := u.incomingID(in.ID)
	if problem.KindOf(err) == problem.NotExist && u.err == nil {
		return problem.Invalid.Errorf("malformed id of an incoming message")
	}
	if err != nil {
		return err
	}
	doc := incomingDoc{Received: in.Received.UTC().Truncate(time.Hour)}
	return but(u.queue().putBody(ctx, id, &doc, in.Body), problem.Exist)
}

// queue is the database under the name that its incoming messages have.
func (u *UserDB) queue() database {
	d := u.db
	d.noun = "incoming message"
	return d
}

// Incoming returns the first messages of the queue by ID, up to limit, without
// their bodies.
func (u *UserDB) Incoming(ctx context.Context, limit int) ([]record.Incoming, error) {
	if u.err != nil {
		return nil, u.err
	}
	docs, err := u.queue().list(ctx, prefix(incomingPrefix, min(max(limit, 1), maxDocuments)))
	if err != nil {
		return nil, err
	}
	var out []record.Incoming
	for _, raw := range docs {
		var d incomingDoc
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, fmt.Errorf("reading the incoming queue: %w", err)
		}
		if d.SHA256 != "" {
			out = append(out, record.Incoming{
				ID: strings.TrimPrefix(d.ID, incomingPrefix), Rev: d.Rev, Received: d.Received, Size: d.Size,
			})
		}
	}
	return out, nil
}

// IncomingBody returns the sealed octets of a message; NotExist when it is not
// in the queue.
func (u *UserDB) IncomingBody(ctx context.Context, id string) ([]byte, error) {
	id, err := u.incomingID(id)
	if err != nil {
		return nil, err
	}
	return u.queue().body(ctx, id, &incomingDoc{})
}

// DeleteIncoming removes a message from the queue; NotExist when it is not
// there.
func (u *UserDB) DeleteIncoming(ctx context.Context, id string) error {
	id, err := u.incomingID(id)
	if err != nil {
		return err
	}
	var m meta
	if err := u.queue().get(ctx, id, &m); err != nil {
		return err
	}
	return u.queue().erase(ctx, id)
}
