package bigcouch

import (
	"encoding/json"
	"net/http"
	"strings"

	"leap.example/services/bigcouch/spread"
	"leap.example/services/bigcouch/store"
)

// A request to a database in several parts is, if it concerns one document, one
// to the part that the document belongs to, wherever that is. Requests for many
// documents are taken apart, and what the parts answer is put together.

// spreadResource returns what serves a resource of the database that is more than
// those of its parts; nil for any other.
func spreadResource(method, path string) func(*call) error {
	switch method + " " + path {
	case "GET ":
		return (*call).spreadInfo
	case "POST ":
		return (*call).spreadPost
	case "GET _all_docs", "POST _all_docs", "GET _design_docs", "POST _design_docs", "GET _local_docs", "POST _local_docs":
		return (*call).spreadDocs
	case "POST _all_docs/queries", "POST _design_docs/queries", "POST _local_docs/queries":
		return (*call).spreadDocsQueries
	case "POST _bulk_docs":
		return (*call).spreadBulk
	case "POST _bulk_get":
		return (*call).spreadBulkGet
	case "GET _changes", "POST _changes":
		return (*call).spreadChanges
	case "POST _find":
		return (*call).spreadFind
	case "POST _index", "POST _index/_bulk_delete":
		return (*call).spreadDesign
	case "POST _missing_revs":
		return (*call).spreadMissingRevs
	case "POST _purge":
		return (*call).spreadPurge
	case "POST _revs_diff":
		return (*call).spreadRevsDiff
	case "POST _view_cleanup":
		return (*call).spreadCleanup
	}
	return nil
}

// spread returns what answers a request to a database in several parts. If that
// is nil, one part does, which is now the database of the request.
func (c *call) spread() (func(*call) error, error) {
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := c.path[1:]
	if do := spreadResource(method, strings.Join(path, "/")); do != nil && len(path) < 3 {
		return do, nil
	}
	if len(path) == 0 {
		return nil, c.choosePart(0)
	}
	id, rest := path[0], path[1:]
	if (id == "_design" || id == "_local") && len(rest) > 0 {
		id, rest = id+"/"+rest[0], rest[1:]
	}
	writes := method == http.MethodPut || method == http.MethodDelete
	switch {
	case writes && (isDesign(id) || id == "_index"):
		return (*call).spreadDesign, nil
	case isDesign(id) && len(rest) > 1 && rest[0] == "_view" && (method == http.MethodGet || method == http.MethodPost):
		if len(rest) == 2 {
			return func(c *call) error { return c.spreadView(id, rest[1]) }, nil
		}
		if len(rest) == 3 && rest[2] == "queries" && method == http.MethodPost {
			return func(c *call) error { return c.spreadViewQueries(id, rest[1]) }, nil
		}
	case isDesign(id) && len(rest) == 1 && rest[0] == "_info" && method == http.MethodGet:
		return func(c *call) error { return c.spreadDesignInfo(id) }, nil
	case checkID(id) != nil: // A resource that any part has, or none.
		return nil, c.choosePart(0)
	case method == methodCopy && len(rest) == 0:
		return func(c *call) error { return c.spreadCopy(id) }, nil
	}
	return nil, c.choosePart(spread.Of(id, c.parts()))
}

// spreadInfo tells of the whole database.
func (c *call) spreadInfo() error {
	info, err := c.aboutParts(c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	c.reply(http.StatusOK, info)
	return nil
}

// aboutParts puts together what the parts of a database tell of themselves.
func (c *call) aboutParts(db *store.Database) (*databaseInfo, error) {
	one := *c
	one.db = db
	answers, err := one.hearAll(one.everyPart(demand{method: http.MethodGet}))
	if err != nil {
		if e, known := asWire(err); known && e.status == http.StatusNotFound {
			return nil, nil // Just dropped.
		}
		return nil, err
	}
	var all *databaseInfo
	seqs, purges := make(spread.Vector, len(answers)), make(spread.Vector, len(answers))
	for i := range answers {
		info := new(databaseInfo)
		if err := json.Unmarshal(answers[i], info); err != nil {
			return nil, err
		}
		if seqs[i], err = markOf(info.UpdateSeq); err != nil {
			return nil, err
		}
		if purges[i], err = markOf(info.PurgeSeq); err != nil {
			return nil, err
		}
		if all == nil {
			all = &databaseInfo{
				Name: db.Name, Props: map[string]any{}, Format: info.Format, Cluster: c.quorums(db), Start: info.Start,
			}
		}
		all.Docs += info.Docs
		all.Deleted += info.Deleted
		all.Sizes.File += info.Sizes.File
		all.Sizes.External += info.Sizes.External
		all.Sizes.Active += info.Sizes.Active
	}
	all.UpdateSeq, all.PurgeSeq = seqs.Encode(db.ID), purges.Encode(db.ID)
	return all, nil
}

// markOf reads the sequence of a part.
func markOf(seq string) (spread.Mark, error) {
	_, n, epoch, err := splitSeq(seq)
	return spread.Mark{Seq: n, Epoch: epoch}, err
}

// sinceMark returns the sequence that goes on behind a mark of a part.
func sinceMark(db uint64, m spread.Mark) string {
	if m.Seq == 0 {
		return "0"
	}
	return seqString(&store.Database{ID: db, Epoch: m.Epoch}, m.Seq)
}

// spreadCleanup cleans up in each part.
func (c *call) spreadCleanup() error {
	if err := c.ensureDatabaseAdmin(); err != nil {
		return err
	}
	if _, err := c.hearAll(c.everyPart(demand{method: http.MethodPost, path: []string{"_view_cleanup"}, body: []byte("{}")})); err != nil {
		return err
	}
	c.reply(http.StatusAccepted, okReply)
	return nil
}
