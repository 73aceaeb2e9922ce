package soledad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// Notify waits until the user's database is past the generation, or its
// incoming queue has another length than incoming, for at most wait (no more
// than 5 minutes). It reports whether something changed.
func (r *Remote) Notify(ctx context.Context, generation, incoming int, wait time.Duration) (n u1db.Notice, changed bool, err error) {
	wait = min(wait, maxNotify)
	q := url.Values{"generation": {strconv.Itoa(generation)}, "incoming": {strconv.Itoa(incoming)}, "wait": {strconv.Itoa(int(wait.Seconds()))}}
	b, a, err := r.bytes(ctx, request{method: http.MethodGet, path: "/" + r.database() + "/notify", query: q, wait: wait}, maxAnswer)
	if err != nil || a.status == http.StatusNoContent {
		return n, false, err
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, false, fmt.Errorf("a notice that is not understood: %w", err)
	}
	return n, true, nil
}

// Incoming returns at most limit entries of the queue of sealed mail, oldest
// first.
func (r *Remote) Incoming(ctx context.Context, limit int) ([]u1db.QueueEntry, error) {
	var entries []u1db.QueueEntry
	err := r.json(ctx, request{method: http.MethodGet, path: "/" + r.database() + "/incoming", query: url.Values{"limit": {strconv.Itoa(limit)}}}, &entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !u1db.ValidDocID(e.ID) {
			return nil, problem.Invalid.Errorf("queue entry %.80q", e.ID)
		}
	}
	return entries, nil
}

// FetchIncoming returns one sealed message, an envelope.
func (r *Remote) FetchIncoming(ctx context.Context, id string) ([]byte, error) {
	b, _, err := r.bytes(ctx, request{method: http.MethodGet, path: r.incoming(id)}, maxMessage)
	return b, err
}

// DeleteIncoming removes a message from the queue: only when what was made of
// it is Confirmed. problem.NotExist if another device was first.
func (r *Remote) DeleteIncoming(ctx context.Context, id string) error {
	_, _, err := r.bytes(ctx, request{method: http.MethodDelete, path: r.incoming(id)}, maxAnswer)
	return err
}

func (r *Remote) incoming(id string) string {
	return "/" + r.database() + "/incoming/" + url.PathEscape(id)
}

// LoadKeyring returns the account's sealed keyring and its revision;
// problem.NotExist if there is none yet.
func (r *Remote) LoadKeyring(ctx context.Context) (doc []byte, rev string, err error) {
	doc, a, err := r.bytes(ctx, request{method: http.MethodGet, path: r.keyring()}, maxKeyring)
	if err != nil {
		return nil, "", err
	}
	return doc, a.header.Get(u1db.HeaderRev), nil
}

// StoreKeyring replaces the sealed keyring of the revision oldRev, "" for the
// first one, and returns the new revision; problem.Stale if another device was
// first: load, change and seal again.
func (r *Remote) StoreKeyring(ctx context.Context, doc []byte, oldRev string) (rev string, err error) {
	q := request{method: http.MethodPut, path: r.keyring(), kind: "application/json", body: doc}
	if oldRev != "" {
		q.query = url.Values{"old_rev": {oldRev}}
	}
	var res u1db.DocResult
	if err := r.json(ctx, q, &res); err != nil {
		return "", err
	}
	return res.Rev, nil
}

func (r *Remote) keyring() string { return "/" + r.database() + "/doc/" + keyringID }

// keyringID is the server's id of the keyring, which lies among the documents.
const keyringID = "keyring"

// putBlob uploads a blob; that it is there already is success, since its id
// names its content.
func (r *Remote) putBlob(ctx context.Context, id string, body []byte) error {
	_, _, err := r.bytes(ctx, request{method: http.MethodPut, path: r.blob(id), kind: "application/octet-stream", body: body}, maxAnswer)
	if errors.Is(err, problem.Exist) || errors.Is(err, problem.Stale) {
		return nil
	}
	return err
}

// getBlob downloads a blob of at most limit bytes.
func (r *Remote) getBlob(ctx context.Context, id string, limit int64) ([]byte, error) {
	b, _, err := r.bytes(ctx, request{method: http.MethodGet, path: r.blob(id)}, limit)
	return b, err
}

// deleteBlob removes a blob; none is success.
func (r *Remote) deleteBlob(ctx context.Context, id string) error {
	_, _, err := r.bytes(ctx, request{method: http.MethodDelete, path: r.blob(id)}, maxAnswer)
	if errors.Is(err, problem.NotExist) {
		return nil
	}
	return err
}

func (r *Remote) blob(id string) string { return "/blobs/" + r.user + "/" + id }
