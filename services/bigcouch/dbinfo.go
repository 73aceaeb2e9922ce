package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// A databaseInfo is what is told of a database.
type databaseInfo struct {
	Name       string         `json:"db_name"`
	PurgeSeq   string         `json:"purge_seq"`
	UpdateSeq  string         `json:"update_seq"`
	Sizes      sizes          `json:"sizes"`
	Props      map[string]any `json:"props"`
	Deleted    uint64         `json:"doc_del_count"`
	Docs       uint64         `json:"doc_count"`
	Format     int            `json:"disk_format_version"`
	Compacting bool           `json:"compact_running"`
	Cluster    quorums        `json:"cluster"`
	Start      string         `json:"instance_start_time"`
}

type sizes struct {
	File     int64 `json:"file"`
	External int64 `json:"external"`
	Active   int64 `json:"active"`
}

type quorums struct {
	Q int `json:"q"`
	N int `json:"n"`
	W int `json:"w"`
	R int `json:"r"`
}

// about returns what is told of a database, nil when it is not there.
func (c *call) about(v *store.View, db *store.Database) (*databaseInfo, error) {
	if db.Whole() {
		return c.aboutParts(db)
	}
	info, err := v.Info(db)
	if err != nil || info == nil {
		return nil, err
	}
	live, deleted, err := c.copiesIn(v)
	if err != nil {
		return nil, err
	}
	return &databaseInfo{
		db.Name, seqString(db, info.Purged), seqString(db, info.Seq),
		sizes{info.Size, info.Size, info.Size},
		map[string]any{},
		info.Deleted - deleted, info.Docs - live, store.Format, false,
		c.quorums(db),
		strconv.FormatInt(db.Created*1000, 10),
	}, nil
}

func (c *call) databaseInfo() error {
	v := c.view()
	defer v.Close()
	info, err := c.about(v, c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	c.reply(http.StatusOK, info)
	return nil
}

// maxInfos is how many databases one request may name: CouchDB's bound.
const maxInfos = 100

// An infoRow is one element of the answers of _dbs_info.
type infoRow struct {
	Key   string        `json:"key"`
	Info  *databaseInfo `json:"info,omitempty"`
	Error string        `json:"error,omitempty"`
}

// databasesInfo tells of all databases in a range of names.
func (c *call) databasesInfo() error {
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
	w := c.begin(typeJSON)
	w.WriteByte('[')
	for i, d := range dbs {
		info, err := c.about(v, d)
		if err != nil {
			return err
		}
		if i > 0 {
			w.WriteByte(',')
		}
		data, err := json.Marshal(infoRow{Key: d.Name, Info: info})
		if err != nil {
			return err
		}
		w.Write(data)
	}
	w.WriteString("]\n")
	return c.end()
}

// chosenInfo tells of the databases that the body names.
func (c *call) chosenInfo() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	var body struct {
		Keys []string `json:"keys"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Keys == nil {
		return badRequest("`keys` member must exist.")
	}
	if len(body.Keys) > maxInfos {
		return badRequest("too_many_keys")
	}
	v := c.view()
	defer v.Close()
	rows := []infoRow{}
	for _, name := range body.Keys {
		row := infoRow{Key: name, Error: "not_found"}
		db, err := v.Database(name)
		if err != nil {
			return err
		}
		if db != nil && db.State == store.Live {
			if row.Info, err = c.about(v, db); err != nil {
				return err
			}
			row.Error = ""
		}
		rows = append(rows, row)
	}
	c.reply(http.StatusOK, rows)
	return nil
}

// databases returns the databases in a range of names.
func (c *call) databases(v *store.View, r idRange) (dbs []*store.Database, err error) {
	for d, err := range v.Databases() {
		if err != nil {
			return nil, err
		}
		if d.State == store.Live && r.holds(d.Name) {
			dbs = append(dbs, d)
		}
	}
	if r.Descending {
		slices.Reverse(dbs)
	}
	dbs = dbs[min(r.skip, len(dbs)):]
	if r.limit >= 0 {
		dbs = dbs[:min(r.limit, len(dbs))]
	}
	return dbs, nil
}
