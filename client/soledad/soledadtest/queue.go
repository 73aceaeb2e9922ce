package soledadtest

import (
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"leap.example/services/protocol/u1db"
)

func (s *Server) getKeyring(u *user, w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := u.docs["keyring"]
	if !ok {
		return u1db.ErrNoDocument
	}
	w.Header().Set(u1db.HeaderRev, d.Rev)
	w.Header().Set(u1db.HeaderConflicts, "false")
	_, err := io.WriteString(w, d.Content)
	return err
}

func (s *Server) putKeyring(u *user, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := u.docs["keyring"]
	if d.Rev != r.URL.Query().Get("old_rev") {
		return u1db.ErrRevisionConflict
	}
	var rev u1db.Revision
	status := http.StatusCreated
	if d.Rev != "" {
		status = http.StatusOK
		if rev, err = u1db.ParseRevision(d.Rev); err != nil {
			return err
		}
	}
	u.append(u1db.Document{ID: "keyring", Rev: rev.Next(u.replica).String(), Content: string(body)})
	return answer(w, status, u1db.DocResult{Rev: u.docs["keyring"].Rev})
}

func (s *Server) notify(u *user, w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	gen, err1 := strconv.Atoi(q.Get("generation"))
	incoming, err2 := strconv.Atoi(q.Get("incoming"))
	wait, err3 := strconv.Atoi(q.Get("wait"))
	if err1 != nil || err2 != nil || err3 != nil {
		return u1db.ErrBadRequest
	}
	timer := time.NewTimer(time.Duration(wait) * time.Second)
	defer timer.Stop()
	for {
		s.mu.Lock()
		n := u1db.Notice{Generation: len(u.log), TransactionID: u.trans(len(u.log)), Incoming: len(u.queue)}
		changed := u.changed
		s.mu.Unlock()
		if n.Generation > gen || n.Incoming != incoming {
			return answer(w, http.StatusOK, n)
		}
		select {
		case <-changed:
		case <-timer.C:
			w.WriteHeader(http.StatusNoContent)
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

func (s *Server) incoming(u *user, w http.ResponseWriter, r *http.Request) error {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		return u1db.ErrBadRequest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := []u1db.QueueEntry{}
	for _, m := range u.queue[:min(limit, len(u.queue))] {
		entries = append(entries, u1db.QueueEntry{ID: m.id, Size: int64(len(m.body)), ReceivedBucket: "2026-01-01T00:00:00Z"})
	}
	return answer(w, http.StatusOK, entries)
}

// find returns the place of a message in the queue, -1 if there is none.
func (u *user) find(id string) int {
	return slices.IndexFunc(u.queue, func(m message) bool { return m.id == id })
}

func (s *Server) getIncoming(u *user, w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := u.find(r.PathValue("id"))
	if i < 0 {
		return u1db.ErrNoDocument
	}
	_, err := w.Write(u.queue[i].body)
	return err
}

func (s *Server) deleteIncoming(u *user, _ http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := u.find(r.PathValue("id"))
	if i < 0 {
		return u1db.ErrNoDocument
	}
	u.queue = slices.Delete(u.queue, i, i+1)
	u.wake()
	return nil
}

func (s *Server) getBlob(u *user, w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	b, ok := u.blobs[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		return u1db.ErrNoDocument
	}
	w.Header().Set("Tag", base64.URLEncoding.EncodeToString(b[max(0, len(b)-16):]))
	_, err := w.Write(b)
	return err
}

func (s *Server) putBlob(u *user, w http.ResponseWriter, r *http.Request) error {
	b, err := io.ReadAll(io.LimitReader(r.Body, 128<<20))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := u.blobs[r.PathValue("id")]; ok {
		w.WriteHeader(http.StatusConflict)
		return nil
	}
	used := int64(len(b))
	for _, have := range u.blobs {
		used += int64(len(have))
	}
	if used > u.room {
		w.WriteHeader(http.StatusInsufficientStorage)
		_, err := io.WriteString(w, "Quota Exceeded!")
		return err
	}
	u.blobs[r.PathValue("id")] = b
	return nil
}

func (s *Server) deleteBlob(u *user, _ http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := u.blobs[r.PathValue("id")]; !ok {
		return u1db.ErrNoDocument
	}
	delete(u.blobs, r.PathValue("id"))
	return nil
}
