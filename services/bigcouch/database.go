package bigcouch

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// apiLevel is the version of CouchDB whose API this is.
const apiLevel = "3.3.3"

func (c *call) welcome() error {
	type vendor struct {
		Name string `json:"name"`
	}
	c.reply(http.StatusOK, struct {
		CouchDB  string   `json:"couchdb"`
		Version  string   `json:"version"`
		Features []string `json:"features"`
		Vendor   vendor   `json:"vendor"`
	}{"Welcome", apiLevel, []string{}, vendor{"LEAP bigcouch"}})
	return nil
}

// up says whether a load balancer may send requests here: not while this node
// does not know what there is, or another one does and this one is late, nor when
// none of its shards has a leader. It says which of them have none.
func (c *call) up() error {
	said := struct {
		Status   string   `json:"status"`
		NoLeader []uint16 `json:"no_leader,omitempty"`
		Late     []uint16 `json:"late,omitempty"`
	}{Status: "ok"}
	set := c.engine.set
	select {
	case <-c.stopping:
		said.Status = "stopping"
	default:
		switch {
		case set == nil:
		case set.Late(store.CatalogueShard):
			said.Status = "late"
		case !set.Ready(store.CatalogueShard):
			said.Status = "starting"
		case set.Leaderless():
			said.Status = "no_leader"
		}
	}
	if set != nil && said.Status != "stopping" {
		for _, s := range set.Statuses() {
			if s.State == "elsewhere" {
				continue
			}
			if s.Leader == "" {
				said.NoLeader = append(said.NoLeader, s.Shard)
			}
			if s.Instead != "" {
				said.Late = append(said.Late, s.Shard)
			}
		}
	}
	status := http.StatusOK
	if said.Status != "ok" {
		status = http.StatusNotFound
	}
	c.reply(status, said)
	return nil
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (c *call) uuids() error {
	n, err := c.number("count", 1)
	if err != nil {
		return err
	}
	if n > 1000 {
		return badRequest("count parameter too large")
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = newUUID()
	}
	c.reply(http.StatusOK, map[string][]string{"uuids": ids})
	return nil
}

func (c *call) allDatabases() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	r, err := c.idRange()
	if err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	dbs, err := c.databases(v, r)
	if err != nil {
		return err
	}
	names := make([]string, len(dbs))
	for i, d := range dbs {
		names[i] = d.Name
	}
	c.reply(http.StatusOK, names)
	return nil
}

var databaseName = regexp.MustCompile(`^([a-z][a-z0-9_$()+/-]*|_users|_replicator|_global_changes)$`)

func (c *call) createDatabase() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	name := c.path[0]
	if !databaseName.MatchString(name) || len(name) > 238 {
		return &wireError{
			http.StatusBadRequest, "illegal_database_name", "Name: '" + name + "'. Only lowercase characters (a-z), digits (0-9), and any of the " +
				"characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.",
		}
	}
	q := 1
	for _, p := range []string{"n", "q"} {
		var err error
		if q, err = c.number(p, 1); err != nil || q == 0 {
			return badRequest("The `%s` parameter must be an integer greater than zero.", p)
		}
	}
	if q > c.engine.shards {
		return badRequest("The `q` parameter must be no more than %d, as many shards as there are.", c.engine.shards)
	}
	if name[0] == '_' && q > 1 {
		return badRequest("The `q` parameter of a system database must be 1.")
	}
	if err := c.writable(); err != nil {
		return err
	}
	if err := c.create(c.ctx(), name, q); err != nil {
		return err
	}
	if name == replicatorDatabase {
		c.repl.look()
	}
	c.w.Header().Set("Location", "/"+strings.Trim(c.r.URL.EscapedPath(), "/"))
	c.reply(http.StatusCreated, okReply)
	return nil
}

func (c *call) dropDatabase() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	if c.query.Has("rev") {
		return badRequest("You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?")
	}
	var db *store.Database
	err := c.sure(store.CatalogueShard, func() (err error) {
		db, err = c.database(c.path[0])
		return err
	})
	if err != nil {
		return err
	}
	if err := c.drop(c.ctx(), db); err != nil {
		return err
	}
	c.reply(http.StatusOK, okReply)
	return nil
}

// ensureFullCommit has nothing to do: what was acknowledged is on disk.
func (c *call) ensureFullCommit() error {
	if err := c.wantJSON(); err != nil {
		return err
	}
	c.reply(http.StatusCreated, struct {
		OK    bool   `json:"ok"`
		Start string `json:"instance_start_time"`
	}{true, strconv.FormatInt(c.db.Created*1000, 10)})
	return nil
}
