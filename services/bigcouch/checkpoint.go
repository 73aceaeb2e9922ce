package bigcouch

import (
	"errors"
	"net/http"
	"time"

	"leap.example/services/bigcouch/store"
)

// maxCheckpoints bounds how many there may be: each keeps files on the disk that
// the store no longer needs.
const maxCheckpoints = 8

// checkpoints lists the copies of the store that lie beside it.
func (c *call) checkpoints() error {
	names, err := c.store.Checkpoints()
	if err != nil {
		return err
	}
	if names == nil {
		names = []string{}
	}
	c.reply(http.StatusOK, map[string][]string{"checkpoints": names})
	return nil
}

// makeCheckpoint makes one. Its name is that of a directory in that of the
// store.
func (c *call) makeCheckpoint() error {
	c.checkpointing.Lock()
	defer c.checkpointing.Unlock()
	names, err := c.store.Checkpoints()
	if err != nil {
		return err
	}
	if len(names) >= maxCheckpoints {
		return &wireError{http.StatusPreconditionFailed, "too_many", "There are too many checkpoints already: remove one"}
	}
	name, err := c.store.Checkpoint(time.Now().UTC().Format("20060102T150405.000Z"))
	if err != nil {
		return err
	}
	c.reply(http.StatusCreated, struct {
		OK   bool   `json:"ok"`
		Name string `json:"name"`
	}{true, name})
	return nil
}

func (c *call) dropCheckpoint(name string) error {
	c.checkpointing.Lock()
	defer c.checkpointing.Unlock()
	err := c.store.DropCheckpoint(name)
	if errors.Is(err, store.ErrNoCheckpoint) {
		return notFound("no such checkpoint")
	}
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, okReply)
	return nil
}
