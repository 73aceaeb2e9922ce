package bigcouch

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// How much one request may purge: CouchDB's bounds.
const (
	maxPurgeDocs = 100
	maxPurgeRevs = 1000
)

// defaultPurgedInfos is how many purges a database remembers.
const defaultPurgedInfos = 1000

var errNotDatabaseAdmin = unauthorized("You are not a db or server admin.")

// ensureDatabaseAdmin is wantDatabaseAdmin for the upkeep of a database, where
// CouchDB answers 401.
func (c *call) ensureDatabaseAdmin() error {
	if c.wantDatabaseAdmin() != nil {
		return errNotDatabaseAdmin
	}
	return nil
}

// purge removes revisions as if they had never been.
func (c *call) purge() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	var body map[string][]string
	if err := c.decode(&body); err != nil {
		return err
	}
	if len(body) > maxPurgeDocs {
		return badRequest("Exceeded maximum number of documents.")
	}
	cmd := store.Purge{DB: c.db.ID, Keep: purgedInfos(c.db)}
	revs := 0
	for _, id := range slices.Sorted(maps.Keys(body)) {
		list, err := parseRevs(body[id])
		if err != nil {
			return err
		}
		revs += len(list)
		cmd.Docs = append(cmd.Docs, store.PurgeDoc{ID: id, Revs: list})
	}
	if revs > maxPurgeRevs {
		return badRequest("Exceeded maximum number of revisions.")
	}
	op, err := c.opID()
	if err != nil {
		return err
	}
	r, err := c.propose(c.ctx(), c.db.Shard, op, cmd)
	if err != nil {
		return err
	}
	purged := map[string][]string{}
	for i, d := range cmd.Docs {
		purged[d.ID] = []string{}
		for _, rev := range r.Purged[i] {
			purged[d.ID] = append(purged[d.ID], rev.String())
		}
	}
	c.reply(http.StatusCreated, map[string]any{"purge_seq": nil, "purged": purged})
	return nil
}

func purgedInfos(db *store.Database) int {
	if db.PurgedInfosLimit > 0 {
		return db.PurgedInfosLimit
	}
	return defaultPurgedInfos
}

// limitInBody reads a body that is a number above nothing.
func (c *call) limitInBody(name string) (int, error) {
	data, err := c.readJSON()
	if err != nil {
		return 0, err
	}
	var n int32
	if json.Unmarshal(data, &n) != nil || n < 1 {
		return 0, badRequest("`%s` must be positive integer", name)
	}
	return int(n), nil
}

func (c *call) getRevsLimit() error {
	c.replyRaw(http.StatusOK, strconv.AppendInt(nil, int64(c.db.RevsLimit), 10))
	return nil
}

func (c *call) putRevsLimit() error {
	if err := c.ensureDatabaseAdmin(); err != nil {
		return err
	}
	n, err := c.limitInBody("revs_limit")
	if err != nil {
		return err
	}
	return c.changeCatalogue(store.SetRevsLimit{Name: c.db.Name, DB: c.db.ID, Limit: n})
}

func (c *call) getPurgedInfosLimit() error {
	c.replyRaw(http.StatusOK, strconv.AppendInt(nil, int64(purgedInfos(c.db)), 10))
	return nil
}

func (c *call) putPurgedInfosLimit() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	n, err := c.limitInBody("purge_infos_limit")
	if err != nil {
		return err
	}
	return c.changeCatalogue(store.SetPurgedInfosLimit{Name: c.db.Name, DB: c.db.ID, Limit: n})
}

// changeCatalogue enters a command into the log of the catalogue and answers.
func (c *call) changeCatalogue(cmd store.Command) error {
	if _, err := c.propose(c.ctx(), store.CatalogueShard, store.OpID{}, cmd); err != nil {
		return err
	}
	c.reply(http.StatusOK, okReply)
	return nil
}

// compactDatabase has nothing to do: bodies of revisions that are no longer
// leaves go in the batch that covers them.
func (c *call) compactDatabase() error {
	if err := c.ensureDatabaseAdmin(); err != nil {
		return err
	}
	if err := c.wantJSON(); err != nil {
		return err
	}
	c.reply(http.StatusAccepted, okReply)
	return nil
}

// compactViews has nothing to do either, for a design document that is there.
func (c *call) compactViews(name string) error {
	v := c.view()
	d, err := v.Document(c.db, store.DesignPrefix+name)
	v.Close()
	if err != nil {
		return err
	}
	if d == nil {
		return store.ErrMissing
	}
	if d.Deleted {
		return store.ErrDeleted
	}
	return c.compactDatabase()
}
