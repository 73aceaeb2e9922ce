package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// latest brings what was acknowledged anywhere before into view, if the
// request asks for more than this node's copy.
func (c *call) latest() error {
	r, err := c.number("r", 1)
	if err != nil || r < 2 {
		return err
	}
	return c.engine.log.Barrier(c.ctx(), c.db.Shard)
}

// getDocument serves one revision, or all that open_revs names.
func (c *call) getDocument(id string) error {
	o, err := c.renderFlags()
	if err != nil {
		return err
	}
	if err := c.latest(); err != nil {
		return err
	}
	v := c.view()
	defer v.Close()
	d, err := v.Document(c.db, id)
	if err != nil {
		return err
	}
	if c.query.Has("open_revs") {
		return c.getOpenRevs(v, d, o)
	}
	if d == nil {
		return store.ErrMissing
	}
	leaf := store.Node{Rev: d.Rev, Deleted: d.Deleted, Leaf: true}
	if rev := c.query.Get("rev"); rev != "" {
		if leaf, err = c.leaf(d, rev); err != nil {
			return err
		}
	} else if d.Deleted {
		return store.ErrDeleted
	}
	if err := c.attsSince(d, leaf.Rev, c.query.Get("atts_since"), &o); err != nil {
		return err
	}
	etag := `"` + leaf.Rev.String() + `"`
	c.w.Header().Set("ETag", etag)
	if !o.attachments && noneMatch(c.r, etag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if c.r.Method == http.MethodHead {
		return c.headDocument()
	}
	if follows, err := c.anyFollows(v, d, leaf, o); err != nil {
		return err
	} else if follows && c.accepts(typeRelated) {
		w := c.beginParts(typeRelated)
		if err := c.writeRelated(w, v, d, leaf, o); err != nil {
			return err
		}
		return c.endParts(w)
	}
	w := c.begin(typeJSON)
	if err := c.writeDocument(w, v, d, leaf, o); err != nil {
		return err
	}
	w.WriteByte('\n')
	return c.end()
}

func (c *call) headDocument() error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// leaf returns the leaf that the client names by its revision, or with latest
// by that of an ancestor.
func (c *call) leaf(d *store.Document, rev string) (store.Node, error) {
	latest, err := c.flag("latest")
	if err != nil {
		return store.Node{}, err
	}
	r, err := parseRev(rev)
	if err != nil {
		return store.Node{}, err
	}
	tree, err := d.Tree()
	if err != nil {
		return store.Node{}, err
	}
	if n, ok := tree.Node(r); ok && n.Leaf {
		return n, nil
	}
	if leaves := tree.LeavesFrom(r); latest && len(leaves) > 0 {
		return leaves[0], nil
	}
	return store.Node{}, store.ErrMissing
}

// noneMatch reports whether the client has this version already.
func noneMatch(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
			return true
		}
	}
	return false
}

// attsSince reads atts_since, a list of revisions: what their attachments are
// is known to the client, so that later ones alone are sent.
func (c *call) attsSince(d *store.Document, leaf store.Rev, list string, o *render) error {
	if list == "" {
		return nil
	}
	var names []string
	if json.Unmarshal([]byte(list), &names) != nil {
		return badRequest("atts_since is not a list of revisions")
	}
	known, err := parseRevs(names)
	if err != nil {
		return err
	}
	tree, err := d.Tree()
	if err != nil {
		return err
	}
	o.attachments = true
	for _, r := range tree.Path(leaf) {
		if slices.Contains(known, r) {
			o.after = r.Gen
			break
		}
	}
	return nil
}

func parseRevs(names []string) (revs []store.Rev, err error) {
	for _, s := range names {
		r, err := parseRev(s)
		if err != nil {
			return nil, err
		}
		revs = append(revs, r)
	}
	return revs, nil
}

// getOpenRevs serves several leaves, in parts unless the client takes JSON
// alone. d is nil when there never was a document.
func (c *call) getOpenRevs(v *store.View, d *store.Document, o render) error {
	latest, err := c.flag("latest")
	if err != nil {
		return err
	}
	found, missing, err := c.openRevs(d, c.query.Get("open_revs"), latest)
	if err != nil {
		return err
	}
	if c.accepts(typeMixed) {
		return c.writeOpenParts(v, d, found, missing, o)
	}
	w := c.begin(typeJSON)
	w.WriteByte('[')
	for i, n := range found {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(`{"ok":`)
		if err := c.writeDocument(w, v, d, n, o); err != nil {
			return err
		}
		w.WriteByte('}')
	}
	for i, rev := range missing {
		if i+len(found) > 0 {
			w.WriteByte(',')
		}
		w.WriteString(`{"missing":` + strconv.Quote(rev) + `}`)
	}
	w.WriteString("]\n")
	return c.end()
}

// writeOpenParts writes leaves with all their attachments.
func (c *call) writeOpenParts(v *store.View, d *store.Document, found []store.Node, missing []string, o render) error {
	o.attachments = true
	w := c.beginParts(typeMixed)
	for _, n := range found {
		if err := c.writeMixed(w, v, d, n, o, false); err != nil {
			return err
		}
	}
	for _, rev := range missing {
		if err := writeErrorPart(w, []byte(`{"missing":`+strconv.Quote(rev)+`}`)); err != nil {
			return err
		}
	}
	return c.endParts(w)
}

// openRevs finds the leaves that are asked for, and says which are not there.
func (c *call) openRevs(d *store.Document, list string, latest bool) (found []store.Node, missing []string, err error) {
	var tree store.Tree
	if d != nil {
		if tree, err = d.Tree(); err != nil {
			return nil, nil, err
		}
	}
	if list == "all" {
		if d == nil {
			return nil, nil, store.ErrMissing
		}
		return tree.Leaves(), nil, nil
	}
	var revs []string
	if json.Unmarshal([]byte(list), &revs) != nil {
		return nil, nil, badRequest("open_revs is neither all nor a list of revisions")
	}
	asked, err := parseRevs(revs)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range asked {
		n, ok := tree.Node(r)
		switch leaves := tree.LeavesFrom(r); {
		case ok && n.Leaf:
			found = append(found, n)
		case latest && len(leaves) > 0:
			found = append(found, leaves...)
		default:
			missing = append(missing, r.String())
		}
	}
	return found, missing, nil
}
