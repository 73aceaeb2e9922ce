package soledad

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// maxEntry bounds one line of a sync-get's answer: the largest LD1 document is
// far below.
const maxEntry = 4 << 20

func (r *Remote) syncPath(replica string) string {
	return "/" + r.database() + "/sync-from/" + replica
}

// syncInfo asks where the server stands; problem.NotExist if the database is
// still to be made.
func (r *Remote) syncInfo(ctx context.Context, replica string) (u1db.SyncInfo, error) {
	var info u1db.SyncInfo
	err := r.json(ctx, request{method: http.MethodGet, path: r.syncPath(replica)}, &info)
	if err == nil && (info.SourceReplica != replica || info.TargetReplica == replica || !u1db.ValidReplica(info.TargetReplica) ||
		info.SourceGeneration < 0 || info.TargetGeneration < 0) {
		err = problem.Invalid.Errorf("the server's sync state makes no sense")
	}
	return info, err
}

// syncPut sends documents.
func (r *Remote) syncPut(ctx context.Context, replica string, h u1db.SyncHeader, docs []u1db.Document) (u1db.SyncResult, error) {
	var body bytes.Buffer
	w, err := u1db.NewPutWriter(&body, h, len(docs))
	if err != nil {
		return u1db.SyncResult{}, err
	}
	for _, d := range docs {
		if err := w.Write(d); err != nil {
			return u1db.SyncResult{}, err
		}
	}
	if err := w.Close(); err != nil {
		return u1db.SyncResult{}, err
	}
	a, err := r.do(ctx, request{method: http.MethodPost, path: r.syncPath(replica), kind: u1db.SyncPut, body: body.Bytes()})
	if err != nil {
		return u1db.SyncResult{}, err
	}
	defer a.close()
	if err := a.is(u1db.SyncPutResponse); err != nil {
		return u1db.SyncResult{}, err
	}
	res, err := u1db.ReadPutResponse(a.body)
	return res, broken(err)
}

// syncGet asks for changes and calls f for each.
func (r *Remote) syncGet(ctx context.Context, replica string, h u1db.SyncHeader, f func(u1db.Document) error) (u1db.SyncResult, error) {
	var body bytes.Buffer
	if err := u1db.WriteGet(&body, h); err != nil {
		return u1db.SyncResult{}, err
	}
	a, err := r.do(ctx, request{method: http.MethodPost, path: r.syncPath(replica), kind: u1db.SyncGet, body: body.Bytes()})
	if err != nil {
		return u1db.SyncResult{}, err
	}
	defer a.close()
	if err := a.is(u1db.SyncGetResponse); err != nil {
		return u1db.SyncResult{}, err
	}
	rd, res, err := u1db.NewGetReader(a.body, maxEntry)
	if err != nil {
		return u1db.SyncResult{}, broken(err)
	}
	for {
		d, err := rd.Next()
		if err == io.EOF {
			return res, nil
		}
		if err != nil {
			return u1db.SyncResult{}, broken(err)
		}
		if err := f(d); err != nil {
			return u1db.SyncResult{}, err
		}
	}
}

// syncDone tells the server that it knows all of the log up to p.
func (r *Remote) syncDone(ctx context.Context, replica string, p point) error {
	body, err := json.Marshal(u1db.SyncDone{Generation: p.gen, TransactionID: p.trans})
	if err != nil {
		return fmt.Errorf("encoding the end of an exchange: %w", err)
	}
	_, _, err = r.bytes(ctx, request{method: http.MethodPut, path: r.syncPath(replica), kind: "application/json", body: body}, maxAnswer)
	return err
}

// broken makes a stream that broke off problem.Unavailable, so that the caller
// tries again; what the server said on purpose stays.
func broken(err error) error {
	if _, said := errors.AsType[*u1db.WordError](err); err == nil || said && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return problem.Unavailable.Errorf("the answer broke off: %w", err)
}
