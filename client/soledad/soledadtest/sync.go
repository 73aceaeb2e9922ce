package soledadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"leap.example/services/protocol/u1db"
)

func (s *Server) info(u *user, w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := r.PathValue("source")
	known := u.sources[source]
	return answer(w, http.StatusOK, u1db.SyncInfo{
		TargetReplica: u.replica, TargetGeneration: len(u.log), TargetTransID: u.trans(len(u.log)),
		SourceReplica: source, SourceGeneration: known.Generation, SourceTransID: known.TransactionID,
	})
}

func (s *Server) done(u *user, w http.ResponseWriter, r *http.Request) error {
	var d u1db.SyncDone
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		return u1db.ErrBadRequest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := u.sources[r.PathValue("source")]
	if err := u1db.CheckSource(d.Generation, d.TransactionID, known.Generation, known.TransactionID); err != nil {
		return err
	}
	u.sources[r.PathValue("source")] = d
	return answer(w, http.StatusOK, map[string]bool{"ok": true})
}

func (s *Server) post(u *user, w http.ResponseWriter, r *http.Request) error {
	switch r.Header.Get("Content-Type") {
	case u1db.SyncPut:
		return s.put(u, w, r)
	case u1db.SyncGet:
		return s.get(u, w, r)
	}
	return u1db.ErrBadRequest
}

func (s *Server) put(u *user, w http.ResponseWriter, r *http.Request) error {
	rd, h, err := u1db.NewPutReader(r.Body, 4<<20)
	if err != nil {
		return err
	}
	source := r.PathValue("source")
	if err := s.check(u, source, h); err != nil {
		return err
	}
	for {
		d, err := rd.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := s.putOne(u, source, h.SyncID, d); err != nil {
			return err
		}
	}
	s.mu.Lock()
	res := u.result(h)
	s.mu.Unlock()
	w.Header().Set("Content-Type", u1db.SyncPutResponse)
	return u1db.WritePutResponse(w, res)
}

func (s *Server) check(u *user, source string, h u1db.SyncHeader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return u1db.CheckKnown(h, source, u.replica, len(u.log), u.trans(h.LastKnownGeneration))
}

func (u *user) result(h u1db.SyncHeader) u1db.SyncResult {
	res := u1db.SyncResult{NewGeneration: len(u.log), NewTransactionID: u.trans(len(u.log))}
	if h.Ensure {
		res.ReplicaUID = u.replica
	}
	return res
}

// putOne puts one document, if it is newer.
func (s *Server) putOne(u *user, source, syncID string, d u1db.Document) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := u.sources[source]
	if err := u1db.CheckSource(d.Gen, d.TransID, known.Generation, known.TransactionID); err != nil {
		return err
	}
	if len(d.Content) > u.largest {
		return u1db.ErrDocumentTooBig
	}
	u.sources[source] = u1db.SyncDone{Generation: d.Gen, TransactionID: d.TransID}
	exchange := source + " " + syncID
	if u.sync[exchange] == nil {
		u.sync[exchange], u.returned[exchange] = map[string]int{}, map[string]bool{}
	}
	var stored *u1db.Document
	if have, ok := u.docs[d.ID]; ok {
		stored = &have
	}
	switch v := u1db.Judge(d, stored); v {
	case u1db.Inserted:
		u.sync[exchange][d.ID] = u.append(d).Gen
	case u1db.Converged:
		u.sync[exchange][d.ID] = stored.Gen
	case u1db.Superseded, u1db.Conflicted:
		u.returned[exchange][d.ID] = true
	default:
		return fmt.Errorf("document %s is %v: %w", d.ID, v, u1db.ErrBadRequest)
	}
	return nil
}

func (s *Server) get(u *user, w http.ResponseWriter, r *http.Request) error {
	h, err := u1db.ReadGet(r.Body)
	if err != nil {
		return err
	}
	source := r.PathValue("source")
	if err := s.check(u, source, h); err != nil {
		return err
	}
	s.mu.Lock()
	exchange := source + " " + h.SyncID
	var docs []u1db.Document
	for _, d := range u.docs {
		seen, wrote := u.sync[exchange][d.ID]
		if u.returned[exchange][d.ID] || d.Gen > h.LastKnownGeneration && (!wrote || d.Gen > seen) {
			docs = append(docs, d)
		}
	}
	res := u.result(h)
	s.mu.Unlock()
	slices.SortFunc(docs, func(a, b u1db.Document) int { return a.Gen - b.Gen })
	if h.NewestFirst {
		slices.Reverse(docs)
	}
	res.NumberOfChanges = len(docs)
	w.Header().Set("Content-Type", u1db.SyncGetResponse)
	wr, err := u1db.NewGetWriter(w, res)
	if err != nil {
		panic(http.ErrAbortHandler) // The answer has begun.
	}
	for _, d := range docs {
		if wr.Write(d) != nil {
			panic(http.ErrAbortHandler)
		}
	}
	if wr.Close() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
