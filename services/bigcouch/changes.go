package bigcouch

import (
	"encoding/json"
	"slices"
	"strconv"

	"leap.example/services/bigcouch/store"
	"leap.example/services/bigcouch/view"
)

// A feed is one request for changes.
type feed struct {
	live
	since      uint64 // What has been looked at.
	limit      int    // Rows that may still come; negative: no limit.
	descending bool
	allLeaves  bool        // style=all_docs
	ids        []string    // filter=_doc_ids; nil: all.
	passes     filter      // Any other filter; nil: none.
	fields     []fieldPath // Of documents, with filter=_selector; nil: all.
	interval   int         // Rows for which there is one sequence.
	docs       bool
	o          render
	scripting  *view.Session // Of the filter; nil while it does not run.
}

// changes serves _changes.
func (c *call) changes() error {
	f, err := c.newFeed()
	if err == nil {
		err = f.filter()
	}
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
	if f.since, err = c.sinceOf(f.sinceParameter(), info.Seq); err != nil {
		return err
	}
	switch f.kind {
	case "continuous", "eventsource":
		return f.continuous()
	case "longpoll":
		return f.longpoll()
	}
	return f.normal()
}

// sinceOf reads since. What is beyond the end may be what another node has told,
// of which this one has not heard yet.
func (c *call) sinceOf(since string, now uint64) (uint64, error) {
	n, err := parseSeq(c.db, since, now)
	if err != nil || n > 0 || since == "" || since == "0" || c.engine.set == nil {
		return n, err
	}
	if err := c.engine.log.Barrier(c.ctx(), c.db.Shard); err != nil {
		return 0, err
	}
	v := c.view()
	defer v.Close()
	info, err := v.Info(c.db)
	if err != nil || info == nil {
		return 0, err
	}
	return parseSeq(c.db, since, info.Seq)
}

func (c *call) newFeed() (*feed, error) {
	l, err := c.newLive()
	if err != nil {
		return nil, err
	}
	f := &feed{live: l}
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
	f.o.attachments = f.o.attachments && f.docs
	f.interval = 1
	if c.query.Has("seq_interval") {
		n, err := strconv.ParseInt(c.query.Get("seq_interval"), 10, 32)
		if err != nil || n < 1 {
			return nil, badRequest("invalid_seq_interval")
		}
		f.interval = int(n)
	}
	return f, nil
}

// pending returns how many changes are behind what has been looked at.
func (f *feed) pending(v *store.View) (int, error) {
	if f.limit != 0 || f.descending || f.ids != nil {
		return 0, nil
	}
	n, err := v.Pending(f.db, f.since)
	if err != nil || f.db.Part <= 1 {
		return n, err
	}
	for d, err := range v.Documents(f.db, spaceSpan(store.DesignPrefix)) {
		if err != nil {
			return 0, err
		}
		if d.Seq > f.since {
			n-- // A copy, see copied.
		}
	}
	return n, nil
}

// batch writes the rows that there are now, up to the limit, and moves since.
func (f *feed) batch(v *store.View) error {
	defer f.pause()
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
		if f.copied(ch.ID) {
			f.since = ch.Seq
			continue
		}
		if err := f.row(v, ch); err != nil {
			return err
		}
		if f.limit == 0 {
			break
		}
		if err := f.ctx().Err(); err != nil {
			return err
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
		if d != nil && d.Seq > f.since && !f.copied(id) {
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

// row writes one change, if it passes the filter.
func (f *feed) row(v *store.View, ch store.Change) error {
	f.since = ch.Seq
	leaves := ch.Leaves
	if !f.allLeaves {
		leaves = leaves[:min(1, len(leaves))]
	}
	if f.passes != nil {
		var err error
		if leaves, err = f.passes(v, ch, leaves); err != nil || len(leaves) == 0 {
			return err
		}
		if f.docs || f.out.Available() < 4096 {
			f.pause() // The client may take its time.
		}
	}
	f.beginRow()
	f.limit--
	seq := strconv.Quote(seqString(f.db, ch.Seq))
	b := append([]byte(`{"seq":`), seq...)
	if f.rows%f.interval != 0 {
		b = append(b[:0], `{"seq":null`...)
	}
	b = append(b, `,"id":`...)
	b = append(appendJSON(b, ch.ID), `,"changes":[`...)
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
		if err := f.writeDoc(v, ch.ID); err != nil {
			return err
		}
	}
	f.out.WriteByte('}')
	f.endRow(seq)
	return nil
}

// writeDoc writes the member doc of a row.
func (f *feed) writeDoc(v *store.View, id string) error {
	d, err := v.Document(f.db, id)
	if err != nil || d == nil {
		return err
	}
	winner := store.Node{Rev: d.Rev, Deleted: d.Deleted, Leaf: true}
	f.out.WriteString(`,"doc":`)
	if f.fields == nil {
		return f.writeDocument(f.out, v, d, winner, f.o)
	}
	doc, err := v.LeafContent(f.db, d, winner)
	if err != nil {
		return err
	}
	data, err := json.Marshal(project(doc, f.fields))
	if err != nil {
		return err
	}
	f.out.Write(data)
	return nil
}
