package soledad

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/u1db"
)

// Blobs, leap-protocols.md 7.10. Their own answers are lines of text.

const tagSize = 16

var blobFlags = []string{"PENDING", "PROCESSING", "PROCESSED", "FAILED"}

// namespace returns the namespace that a request names.
func (c *call) namespace() (string, error) {
	ns := c.URL.Query().Get("namespace")
	if ns == "" {
		return "default", nil
	}
	if !validName(ns) {
		return "", u1db.ErrBadRequest
	}
	return ns, nil
}

// listBlobs answers with ids, or their number.
func (s *Server) listBlobs(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	all, err := s.stores.Open(c.user).Blobs(c.Context(), ns)
	if err != nil {
		return noDatabase(err)
	}
	q := c.URL.Query()
	deleted, flag := q.Get("deleted") != "", q.Get("filter_flag")
	all = slices.DeleteFunc(all, func(b record.Blob) bool {
		return b.Deleted != deleted || flag != "" && !slices.Contains(b.Flags, flag)
	})
	byDate := func(a, b record.Blob) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) }
	switch order := q.Get("order_by"); order {
	case "":
		slices.SortFunc(all, func(a, b record.Blob) int { return cmp.Compare(a.ID, b.ID) })
	case "date", "+date", " date": // A plus sign that was not escaped is a space.
		slices.SortFunc(all, byDate)
	case "-date":
		slices.SortFunc(all, func(a, b record.Blob) int { return byDate(b, a) })
	default:
		return u1db.ErrBadRequest
	}
	if q.Get("only_count") != "" {
		return c.json(http.StatusOK, map[string]int{"count": len(all)})
	}
	ids := make([]string, len(all))
	for i, b := range all {
		ids[i] = b.ID
	}
	return c.json(http.StatusOK, ids)
}

// getBlob answers with a blob or a part of it, or with its flags.
func (s *Server) getBlob(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	db := s.stores.Open(c.user)
	if c.URL.Query().Get("only_flags") != "" {
		b, err := findBlob(c.Context(), db, ns, c.name)
		if err != nil {
			return c.blobFailure(err)
		}
		return c.json(http.StatusOK, append([]string{}, b.Flags...))
	}
	room, err := s.hold(c, s.cfg.MaxBlob)
	if err != nil {
		return err
	}
	defer room.free()
	data, err := db.Blob(c.Context(), ns, c.name)
	if err != nil {
		return c.blobFailure(err)
	}
	room.shrink(int64(len(data)))
	c.w.Header().Set("Tag", tagOf(data))
	c.w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(c.w, c.Request, "", time.Time{}, bytes.NewReader(data)) // Range: RFC 9110, 14.
	return nil
}

func findBlob(ctx context.Context, db UserDB, ns, id string) (record.Blob, error) {
	all, err := db.Blobs(ctx, ns)
	if err != nil {
		return record.Blob{}, err
	}
	i := slices.IndexFunc(all, func(b record.Blob) bool { return b.ID == id && !b.Deleted })
	if i < 0 {
		return record.Blob{}, problem.NotExist.Errorf("no such blob")
	}
	return all[i], nil
}

// tagOf returns the tag of a sealed blob: its last 16 bytes.
func tagOf(data []byte) string {
	return base64.URLEncoding.EncodeToString(data[max(0, len(data)-tagSize):])
}

// putBlob stores a new blob.
func (s *Server) putBlob(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	size := s.cfg.MaxBlob
	if c.ContentLength > size {
		return u1db.ErrDocumentTooBig
	}
	if c.ContentLength >= 0 {
		size = c.ContentLength
	}
	room, err := s.hold(c, size)
	if err != nil {
		return err
	}
	defer room.free()
	data, err := c.read(size)
	if err != nil {
		return err
	}
	if err := s.store(c, ns, c.name, data); err != nil {
		return c.blobFailure(err)
	}
	return c.text(http.StatusOK, "")
}

// store stores a blob within the user's quota.
func (s *Server) store(c *call, ns, id string, data []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), storeTime)
	defer cancel()
	unlock, err := s.uploads.lock(ctx, c.user)
	if err != nil {
		return err
	}
	defer unlock()
	db := s.stores.Open(c.user)
	used, err := db.BlobBytes(ctx)
	if err != nil {
		return noDatabase(err)
	}
	over := s.admit(ctx, db, c.user, []change{{0, len(data)}})
	if over != nil && !errors.Is(over, problem.Limit) {
		return noDatabase(over)
	}
	if over != nil || used+int64(len(data)) > s.cfg.BlobQuota {
		// A blob that is there is not "over quota": the client may be repeating itself.
		if _, err := findBlob(ctx, db, ns, id); err == nil {
			return problem.Exist.Errorf("blob exists")
		}
		return problem.Limit.Errorf("quota exceeded")
	}
	return db.PutBlob(ctx, ns, id, data)
}

// flagBlob replaces the flags of a blob.
func (s *Server) flagBlob(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	data, err := c.read(4096)
	if err != nil {
		return err
	}
	var flags []string
	if json.Unmarshal(data, &flags) != nil {
		return u1db.ErrBadRequest
	}
	for _, f := range flags {
		if !slices.Contains(blobFlags, f) {
			return c.text(http.StatusNotAcceptable, fmt.Sprintf("Invalid flag: %.40q", f))
		}
	}
	slices.Sort(flags)
	if err := s.stores.Open(c.user).SetBlobFlags(c.Context(), ns, c.name, slices.Compact(flags)); err != nil {
		return c.blobFailure(err)
	}
	return c.text(http.StatusOK, "")
}

// deleteBlob removes a blob; that it was there is remembered.
func (s *Server) deleteBlob(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	if err := s.stores.Open(c.user).DeleteBlob(c.Context(), ns, c.name); err != nil {
		return c.blobFailure(err)
	}
	return c.text(http.StatusOK, "")
}

// blobFailure answers in the blobs' own words what has some.
func (c *call) blobFailure(err error) error {
	kind := problem.KindOf(err)
	switch {
	case errors.Is(err, u1db.ErrNoDatabase):
		return err
	case kind == problem.NotExist:
		return c.text(http.StatusNotFound, "Blob doesn't exist: "+c.name)
	case kind == problem.Exist:
		return c.text(http.StatusConflict, "Blob already exists: "+c.name)
	case kind == problem.Limit:
		return c.text(http.StatusInsufficientStorage, "Quota Exceeded!")
	}
	return err
}

// noDatabase gives the words for a database that is not there.
func noDatabase(err error) error {
	if errors.Is(err, problem.NotExist) {
		return u1db.ErrNoDatabase
	}
	return err
}
