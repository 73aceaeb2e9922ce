package bigcouch

import (
	"encoding/json"
	"net/http"
	"strings"

	"leap.example/services/bigcouch/store"
)

// deleteIndexes serves POST _index/_bulk_delete: design documents of language
// "query", with all the indexes that each defines.
func (c *call) deleteIndexes() error {
	var body struct {
		IDs []string `json:"docids"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.IDs == nil {
		return &wireError{http.StatusBadRequest, "missing_required_key", "Missing required key: docids"}
	}
	if len(body.IDs) > maxBulk {
		return tooLarge("more than 100000 documents")
	}
	if err := c.wantDatabaseAdmin(); err != nil {
		return err
	}
	type success struct {
		ID string `json:"id"`
		OK bool   `json:"ok"`
	}
	type failure struct {
		ID    string `json:"id"`
		Error string `json:"error"`
	}
	done, failed := []success{}, []failure{}
	for _, id := range body.IDs {
		err := c.changeViews(strings.TrimPrefix(id, store.DesignPrefix), func(views map[string]json.RawMessage) (bool, error) {
			if len(views) == 0 {
				return false, store.ErrMissing
			}
			clear(views)
			return true, nil
		})
		e, known := asWire(err)
		switch {
		case err == nil:
			done = append(done, success{id, true})
		case known:
			failed = append(failed, failure{id, e.name})
		default:
			return err
		}
	}
	c.reply(http.StatusOK, struct {
		Success []success `json:"success"`
		Fail    []failure `json:"fail"`
	}{done, failed})
	return nil
}
