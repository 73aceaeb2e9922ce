package soledad

import (
	"net/http"
	"time"

	"leap.example/services/protocol/u1db"
)

// listQueue answers with the oldest entries of the incoming queue.
func (s *Server) listQueue(c *call) error {
	limit, err := number(c.URL.Query().Get("limit"), 100, maxQueue)
	if err != nil {
		return err
	}
	entries, err := s.stores.Open(c.user).Incoming(c.Context(), max(limit, 1))
	if err != nil {
		return err
	}
	list := make([]u1db.QueueEntry, len(entries))
	for i, e := range entries {
		list[i] = u1db.QueueEntry{ID: e.ID, Size: e.Size, ReceivedBucket: e.Received.UTC().Truncate(time.Hour).Format(time.RFC3339)}
	}
	return c.json(http.StatusOK, list)
}

// getQueue answers with the sealed octets of one entry.
func (s *Server) getQueue(c *call) error {
	room, err := s.hold(c, s.cfg.MaxBlob)
	if err != nil {
		return err
	}
	defer room.free()
	body, err := s.stores.Open(c.user).IncomingBody(c.Context(), c.name)
	if err != nil {
		return err
	}
	room.shrink(int64(len(body)))
	c.w.Header().Set("Content-Type", "application/octet-stream")
	return c.octets(http.StatusOK, body)
}

// deleteQueue removes an entry: a device has its message and the server has
// acknowledged the sealed copy.
func (s *Server) deleteQueue(c *call) error {
	if err := s.stores.Open(c.user).DeleteIncoming(c.Context(), c.name); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct{}{})
}
