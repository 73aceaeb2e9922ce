package bigcouch

import (
	"slices"
	"time"

	"leap.example/services/bigcouch/store"
)

// A feed is one request for changes.
type feed struct {
	*call
	kind       string // normal, longpoll or continuous.
	since      uint64 // What has been looked at.
	limit      int    // Rows that may still come; negative: no limit.
	descending bool
	allLeaves  bool     // style=all_docs
	ids        []string // filter=_doc_ids; nil: all.
	docs       bool
	o          render
	heartbeat  time.Duration // 0: none.
	timeout    time.Duration
	rows       int // Written.
}

// changes serves _changes.
func (c *call) changes() error {
	f, err := c.newFeed()
	if err != nil {
		return err
	}
	v := c.view()
	info, err := v.Info(c.db)
	v.Close()
	if err != nil {
		return err
	}
	if info == nil {
		return store.ErrNoDatabase
	}
	since := c.query.Get("since")
	if since == "" {
		since = c.query.Get("last-event-id")
	}
	if f.since, err = parseSeq(c.db, since, info.Seq); err != nil {
		return err
	}
	switch f.kind {
	case "continuous":
		return f.continuous()
	case "longpoll":
		return f.longpoll()
	}
	return f.normal()
}

func (c *call) newFeed() (*feed, error) {
	f := &feed{call: c, timeout: maxTimeout}
	var err error
	switch f.kind = c.query.Get("feed"); f.kind {
	case "":
		f.kind = "normal"
	case "live":
		f.kind = "continuous"
	case "normal", "longpoll", "continuous":
	default:
		return nil, badRequest("Supported `feed` types: normal, continuous, live, longpoll")
	}
	switch style := c.query.Get("style"); style {
	case "", "main_only":
	case "all_docs":
		f.allLeaves = true
	default:
		return nil, badRequest("Unknown `style`")
	}
	if f.limit, err = c.number("limit", -1); err != nil {
		return nil, err
	}
	if f.descending, err = c.flag("descending"); err != nil {
		return nil, err
	}
	if f.docs, err = c.flag("include_docs"); err != nil {
		return nil, err
	}
	if f.o, err = c.renderFlags(); err != nil {
		return nil, err
	}
	if f.o.attachments && !f.docs {
		f.o.attachments = false
	}
	return f, f.live()
}

// normal answers with what there is.
func (f *feed) normal() error {
	w := f.begin("application/json")
	w.WriteString("{\"results\":[\n")
	v := f.view()
	defer v.Close()
	if err := f.batch(v); err != nil {
		return err
	}
	pending, err := f.pending(v)
	if err != nil {
		return err
	}
	f.last(pending)
	return f.end()
}

// pending returns how many changes are behind what has been looked at.
func (f *feed) pending(v *store.View) (int, error) {
	if f.limit != 0 || f.descending || f.ids != nil {
		return 0, nil
	}
	return v.Pending(f.db, f.since)
}

// batch writes the rows that there are now, up to the limit, and moves since.
func (f *feed) batch(v *store.View) error {
	if f.ids != nil {
		return f.chosen(v)
	}
	if f.limit == 0 {
		return nil
	}
	from := f.since
	if f.descending {
		from = 0
	}
	for ch, err := range v.Changes(f.db, from, f.descending) {
		if err != nil {
			return err
		}
		if err := f.row(v, ch); err != nil {
			return err
		}
		if f.limit == 0 {
			break
		}
	}
	return nil
}

// chosen is batch for filter=_doc_ids.
func (f *feed) chosen(v *store.View) error {
	info, err := v.Info(f.db)
	if err != nil || info == nil {
		return err
	}
	var found []*store.Document
	for _, id := range f.ids {
		d, err := v.Document(f.db, id)
		if err != nil {
			return err
		}
		if d != nil && d.Seq > f.since {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, func(a, b *store.Document) int {
		if (a.Seq < b.Seq) != f.descending {
			return -1
		}
		return 1
	})
	for _, d := range found {
		if f.limit == 0 {
			return nil
		}
		tree, err := d.Tree()
		if err != nil {
			return err
		}
		ch := store.Change{Seq: d.Seq, ID: d.ID, Deleted: d.Deleted}
		for _, n := range tree.Leaves() {
			ch.Leaves = append(ch.Leaves, n.Rev)
		}
		if err := f.row(v, ch); err != nil {
			return err
		}
	}
	if f.limit != 0 {
		f.since = max(f.since, info.Seq) // The rest does not concern this feed.
	}
	return nil
}

// row writes one change.
func (f *feed) row(v *store.View, ch store.Change) error {
	if f.kind != "continuous" {
		if f.rows > 0 {
			f.out.WriteString(",\n")
		}
	}
	f.rows++
	f.limit--
	f.since = ch.Seq
	b := append(appendJSON([]byte(`{"seq":`), seqString(f.db, ch.Seq)), `,"id":`...)
	b = append(appendJSON(b, ch.ID), `,"changes":[`...)
	leaves := ch.Leaves
	if !f.allLeaves {
		leaves = leaves[:min(1, len(leaves))]
	}
	for i, r := range leaves {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"rev":"`...), r.String()...), `"}`...)
	}
	b = append(b, ']')
	if ch.Deleted {
		b = append(b, `,"deleted":true`...)
	}
	f.out.Write(b)
	if f.docs {
		d, err := v.Document(f.db, ch.ID)
		if err != nil || d == nil {
			return err
		}
		f.out.WriteString(`,"doc":`)
		if err := f.writeDocument(f.out, v, d, store.Node{Rev: d.Rev, Deleted: d.Deleted, Leaf: true}, f.o); err != nil {
			return err
		}
	}
	f.out.WriteByte('}')
	if f.kind == "continuous" {
		f.out.WriteByte('\n')
	}
	return nil
}
