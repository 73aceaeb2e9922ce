package soledad_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/protocol/u1db"
)

// A replica is a device: documents, a log, and what it knows of the server. Its
// conflict rule is that the greater content wins.
type replica struct {
	s      *site
	http   *http.Client
	user   string
	uid    string
	plain  bool // Speaks the plain u1db stream.
	docs   map[string]u1db.Document
	gen    int
	server u1db.SyncResult // Up to where it pulled.
	sent   u1db.SyncDone   // Up to where it pushed.
}

func (s *site) replica(uid string, plain bool, c *http.Client) *replica {
	return &replica{s: s, http: c, user: alice, uid: uid, plain: plain, docs: map[string]u1db.Document{}}
}

// put writes a document, "" deletes it.
func (r *replica) put(id, content string) {
	clock, _ := u1db.ParseRevision(r.docs[id].Rev) // The zero one, if there is none.
	r.gen++
	r.docs[id] = u1db.Document{ID: id, Rev: clock.Next(r.uid).String(), Content: content, Gen: r.gen, TransID: fmt.Sprint("T-", r.uid, "-", r.gen)}
}

// take takes a version from the server.
func (r *replica) take(d u1db.Document) {
	mine, exists := r.docs[d.ID]
	clock, err := u1db.ParseRevision(d.Rev)
	if err != nil {
		r.s.t.Errorf("the server sent revision %q", d.Rev)
		return
	}
	switch u1db.Judge(d, ptr(mine, exists)) {
	case u1db.Inserted:
		r.gen++
		r.docs[d.ID] = u1db.Document{ID: d.ID, Rev: d.Rev, Content: d.Content, Gen: r.gen, TransID: fmt.Sprint("T-", r.uid, "-", r.gen)}
	case u1db.Conflicted, u1db.Merged:
		own, _ := u1db.ParseRevision(mine.Rev)
		r.gen++
		r.docs[d.ID] = u1db.Document{
			ID: d.ID, Rev: own.Merge(clock).Next(r.uid).String(), Content: max(mine.Content, d.Content),
			Gen: r.gen, TransID: fmt.Sprint("T-", r.uid, "-", r.gen),
		}
	}
}

func ptr(d u1db.Document, exists bool) *u1db.Document {
	if !exists {
		return nil
	}
	return &d
}

// sync makes one exchange; false if the server was not to be had.
func (r *replica) sync() error {
	var out []u1db.Document
	for _, d := range r.docs {
		if d.Gen > r.sent.Generation {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b u1db.Document) int { return a.Gen - b.Gen })
	id, err := u1db.NewReplica(rand.Reader)
	if err != nil {
		return err
	}
	h := u1db.SyncHeader{LastKnownGeneration: r.server.NewGeneration, LastKnownTransID: r.server.NewTransactionID, SyncID: id}
	var in []u1db.Document
	var res u1db.SyncResult
	if r.plain {
		in, res, err = r.exchange(h, out)
	} else {
		in, res, err = r.pushAndPull(h, out)
	}
	if err != nil {
		return err
	}
	if n := len(out); n > 0 {
		r.sent = u1db.SyncDone{Generation: out[n-1].Gen, TransactionID: out[n-1].TransID}
	}
	for _, d := range in {
		r.take(d)
	}
	r.server = res
	return nil
}

func (r *replica) pushAndPull(h u1db.SyncHeader, out []u1db.Document) ([]u1db.Document, u1db.SyncResult, error) {
	var res u1db.SyncResult
	if len(out) > 0 {
		var b bytes.Buffer
		w, err := u1db.NewPutWriter(&b, h, len(out))
		if err != nil {
			return nil, res, err
		}
		a, err := r.post(u1db.SyncPut, w, &b, out)
		if err != nil {
			return nil, res, err
		}
		if _, err := u1db.ReadPutResponse(strings.NewReader(a)); err != nil {
			return nil, res, err
		}
	}
	var b bytes.Buffer
	if err := u1db.WriteGet(&b, h); err != nil {
		return nil, res, err
	}
	a, err := r.send(u1db.SyncGet, &b)
	if err != nil {
		return nil, res, err
	}
	rd, res, err := u1db.NewGetReader(strings.NewReader(a), u1db.MaxEntry)
	if err != nil {
		return nil, res, err
	}
	return all(rd, res)
}

func (r *replica) exchange(h u1db.SyncHeader, out []u1db.Document) ([]u1db.Document, u1db.SyncResult, error) {
	var b bytes.Buffer
	w, err := u1db.NewPlainWriter(&b, h)
	if err != nil {
		return nil, u1db.SyncResult{}, err
	}
	a, err := r.post(u1db.PlainStream, w, &b, out)
	if err != nil {
		return nil, u1db.SyncResult{}, err
	}
	rd, res, err := u1db.NewPlainResponseReader(strings.NewReader(a), u1db.MaxEntry)
	if err != nil {
		return nil, res, err
	}
	return all(rd, res)
}

func all(rd *u1db.Reader, res u1db.SyncResult) (docs []u1db.Document, _ u1db.SyncResult, err error) {
	for {
		d, err := rd.Next()
		if err == io.EOF {
			return docs, res, nil
		}
		if err != nil {
			return nil, res, err
		}
		docs = append(docs, d)
	}
}

func (r *replica) post(kind string, w *u1db.Writer, b *bytes.Buffer, docs []u1db.Document) (string, error) {
	for _, d := range docs {
		if err := w.Write(d); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return r.send(kind, b)
}

func (r *replica) send(kind string, b *bytes.Buffer) (string, error) {
	a, err := r.s.try(r.http, "POST", "/user-"+r.user+"/sync-from/"+r.uid, b, header("Content-Type: "+kind),
		header("Authorization: "+authorization(r.user, r.user+"-token")))
	if err != nil {
		return "", err
	}
	if a.status != 200 {
		return "", u1db.ErrorOf(a.status, []byte(a.body))
	}
	return a.body, nil
}
