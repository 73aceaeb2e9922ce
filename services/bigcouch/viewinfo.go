package bigcouch

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/bigcouch/store"
)

// routeDesign dispatches on what is below a design document and no attachment.
func (c *call) routeDesign(id string, rest []string) error {
	switch {
	case len(rest) == 2 && rest[0] == "_view":
		do := func(c *call) error { return c.getView(id, rest[1]) }
		return c.dispatch(method{"GET", do}, method{"POST", do})
	case len(rest) == 3 && rest[0] == "_view" && rest[2] == "queries":
		return c.dispatch(method{"POST", func(c *call) error { return c.postQueries(id, rest[1]) }})
	case len(rest) == 1 && rest[0] == "_info":
		return c.dispatch(method{"GET", func(c *call) error { return c.designInfo(id) }})
	}
	return errNoHandler // Shows, lists and updates are not offered.
}

// A designState says how far the views of a design document are, and how large.
type designState struct {
	Name  string     `json:"name"`
	Index indexState `json:"view_index"`
}

type indexState struct {
	Pending    pendingUpdates `json:"updates_pending"`
	Commit     bool           `json:"waiting_commit"`
	Clients    int            `json:"waiting_clients"`
	Running    bool           `json:"updater_running"`
	Seq        uint64         `json:"update_seq"`
	Sizes      sizes          `json:"sizes"`
	Signature  string         `json:"signature"`
	Purged     uint64         `json:"purge_seq"`
	Language   string         `json:"language"`
	Compacting bool           `json:"compact_running"`
}

type pendingUpdates struct {
	Minimum   uint64 `json:"minimum"`
	Preferred uint64 `json:"preferred"`
	Total     uint64 `json:"total"`
}

// add adds what another part of the database says.
func (s *indexState) add(o indexState) {
	s.Clients += o.Clients
	s.Running = s.Running || o.Running
	s.Seq, s.Purged = s.Seq+o.Seq, s.Purged+o.Purged
	s.Sizes.File += o.Sizes.File
	s.Sizes.External, s.Sizes.Active = s.Sizes.File, s.Sizes.File
	n := s.Pending.Total + o.Pending.Total
	s.Pending = pendingUpdates{n, n, n}
}

// designInfo says how far the views of a design document are.
func (c *call) designInfo(id string) error {
	v := c.view()
	defer v.Close()
	d, err := c.namedDesign(v, id)
	if err != nil {
		return err
	}
	info, err := v.Info(c.db)
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	var index indexState
	index.Language = d.language
	sum := sha256.New()
	index.Seq, index.Purged = info.Seq, info.Purged
	for _, name := range slices.Sorted(maps.Keys(d.views)) {
		f := d.views[name]
		sum.Write(f.id[:])
		state, err := v.ViewState(c.db, f.id)
		if err != nil {
			return err
		}
		size, err := c.store.ViewSize(c.db, f.id)
		if err != nil {
			return err
		}
		waiting, building := c.builders.state(rowSet{c.db.Shard, c.db.ID, f.id})
		index.Clients += waiting
		index.Running = index.Running || building
		index.Seq, index.Purged = min(index.Seq, state.Seq), min(index.Purged, state.Purged)
		index.Sizes.File += int64(size)
	}
	index.Sizes.External, index.Sizes.Active = index.Sizes.File, index.Sizes.File
	index.Signature = hex.EncodeToString(sum.Sum(nil)[:16])
	n := info.Seq - index.Seq
	index.Pending = pendingUpdates{n, n, n}
	c.reply(http.StatusOK, designState{strings.TrimPrefix(d.id, store.DesignPrefix), index})
	return nil
}

// cleanViews drops the rows of views that no design document has any more.
func (c *call) cleanViews(v *store.View) error {
	keep := map[store.ViewID]bool{}
	for d, err := range v.Documents(c.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return err
		}
		if d.Deleted {
			continue
		}
		functions, err := c.design(v, d)
		if err != nil {
			return err
		}
		for _, f := range functions.views {
			keep[f.id] = true
		}
	}
	return c.store.DropViews(c.db, keep)
}

// viewCleanup drops rows of views on this node; other nodes drop theirs when
// they next build a view.
func (c *call) viewCleanup() error {
	if err := c.ensureDatabaseAdmin(); err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	if err := c.cleanViews(v); err != nil {
		return err
	}
	c.reply(http.StatusAccepted, okReply)
	return nil
}
