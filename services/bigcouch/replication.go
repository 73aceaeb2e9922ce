package bigcouch

import (
	"net/http"

	"leap.example/services/bigcouch/replicate"
)

// replicate serves _replicate: it starts, awaits or cancels a replication with
// the rights of whoever asks.
func (c *call) replicate() error {
	if c.user.Name == "" && !c.user.admin {
		return unauthorized("Only users may replicate.")
	}
	data, err := c.postJSON()
	if err != nil {
		return err
	}
	req, err := replicate.ParseRequest(data)
	if err != nil {
		return err
	}
	if req.Cancel {
		return c.cancelReplication(req)
	}
	j := &job{id: req.ID(c.user.Name), req: req, user: c.user, once: !req.Continuous}
	running, err := c.repl.start(j)
	if err != nil {
		return err
	}
	if running != j && running.user.Name != c.user.Name {
		return forbidden("This replication runs for another user.")
	}
	if req.Continuous {
		c.reply(http.StatusAccepted, map[string]any{"ok": true, "_local_id": j.id})
		return nil
	}
	select {
	case <-running.done:
	case <-c.ctx().Done():
		return c.ctx().Err() // It goes on, as in CouchDB.
	case <-c.stopping:
		return errUnavailable
	}
	if _, known := asWire(running.err); running.err != nil && !known {
		return &wireError{http.StatusInternalServerError, "replication_error", running.err.Error()} // Of peers; no secrets.
	}
	if running.err != nil {
		return running.err
	}
	c.reply(http.StatusOK, running.result)
	return nil
}

func (c *call) cancelReplication(req *replicate.Request) error {
	id := req.CancelID
	if id == "" {
		id = req.ID(c.user.Name)
	}
	j := c.repl.job(id)
	switch {
	case j == nil:
		return notFound("No replication of this id.")
	case j.user.Name != c.user.Name && !c.user.admin:
		return unauthorized("Can't cancel a replication triggered by another user")
	case j.doc != "":
		return badRequest("This replication belongs to a document; delete it instead.")
	}
	j.stop()
	c.reply(http.StatusOK, map[string]any{"ok": true, "_local_id": j.id})
	return nil
}
