package bigcouch

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// A render says what to show of a document beside its content.
type render struct {
	revs        bool // _revisions
	revsInfo    bool // _revs_info
	conflicts   bool // _conflicts
	deletedToo  bool // _deleted_conflicts
	localSeq    bool // _local_seq
	attachments bool // Their data, not stubs.
	follows     bool // Their data comes in parts of its own.
	after       int  // Attachments of this generation and older are stubs all the same.
}

// sends reports whether the bytes of an attachment are shown.
func (o render) sends(a store.Att) bool { return o.attachments && a.RevPos > o.after }

// renderFlags reads them from the query.
func (c *call) renderFlags() (o render, err error) {
	meta, err := c.flag("meta")
	for name, to := range map[string]*bool{
		"revs": &o.revs, "revs_info": &o.revsInfo, "conflicts": &o.conflicts, "deleted_conflicts": &o.deletedToo,
		"attachments": &o.attachments, "local_seq": &o.localSeq,
	} {
		on, e := c.flag(name)
		if e != nil {
			err = e
		}
		*to = on || meta && (name == "revs_info" || strings.HasSuffix(name, "conflicts"))
	}
	return o, err
}

// writeDocument writes one leaf of a document. Errors of w are for whoever ends
// the answer; the one that is returned is the store's.
func (c *call) writeDocument(w io.Writer, v *store.View, d *store.Document, leaf store.Node, o render) error {
	body, err := v.Body(c.db, d, leaf.Rev)
	if err != nil {
		return err
	}
	c.metrics.reads.Inc()
	if body, err = c.shown(body); err != nil {
		return err
	}
	b := make([]byte, 0, 128+len(body.JSON))
	b = append(b, `{"_id":`...)
	b = appendJSON(b, d.ID)
	b = append(b, `,"_rev":"`...)
	b = append(append(b, leaf.Rev.String()...), '"')
	if len(body.JSON) > 2 {
		b = append(append(b, ','), body.JSON[1:len(body.JSON)-1]...)
	}
	if leaf.Deleted {
		b = append(b, `,"_deleted":true`...)
	}
	if o != (render{}) {
		if b, err = appendMeta(b, d, leaf.Rev, o); err != nil {
			return err
		}
	}
	if len(body.Atts) == 0 {
		w.Write(append(b, '}')) // The writer keeps its error for Flush.
		return nil
	}
	w.Write(append(b, `,"_attachments":{`...))
	for i, a := range body.Atts {
		if i > 0 {
			io.WriteString(w, ",")
		}
		if err := c.writeAttachment(w, v, a, o); err != nil {
			return err
		}
	}
	io.WriteString(w, "}}")
	return nil
}

// writeAttachment writes one member of _attachments.
func (c *call) writeAttachment(w io.Writer, v *store.View, a store.Att, o render) error {
	b := append(appendJSON(nil, a.Name), `:{"content_type":`...)
	b = append(appendJSON(b, a.Type), `,"revpos":`...)
	b = append(strconv.AppendInt(b, int64(a.RevPos), 10), `,"digest":`...)
	b = appendJSON(b, digest(a))
	if sends := o.sends(a); o.follows || !sends {
		b = append(b, `,"length":`...)
		b = strconv.AppendInt(b, a.Length, 10)
		if sends {
			b = append(b, `,"follows":true}`...)
		} else {
			b = append(b, `,"stub":true}`...)
		}
		w.Write(b)
		return nil
	}
	w.Write(append(b, `,"data":"`...))
	enc := base64.NewEncoder(base64.StdEncoding, w)
	err := v.ReadAttachment(c.db, a, 0, a.Length, func(piece []byte) error {
		_, err := enc.Write(piece)
		return err
	})
	if err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	io.WriteString(w, `"}`)
	return nil
}

func digest(a store.Att) string { return "md5-" + base64.StdEncoding.EncodeToString(a.MD5[:]) }

// appendMeta appends the members that only the revision tree knows.
func appendMeta(b []byte, d *store.Document, r store.Rev, o render) ([]byte, error) {
	tree, err := d.Tree()
	if err != nil {
		return nil, err
	}
	meta := func(name string, v any) {
		data, _ := json.Marshal(v) // Lists of strings and numbers cannot fail.
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = append(b, data...)
	}
	if o.localSeq {
		meta("_local_seq", d.Seq)
	}
	if o.revs {
		meta("_revisions", revisionsOf(tree, r))
	}
	if o.revsInfo {
		type info struct {
			Rev    string `json:"rev"`
			Status string `json:"status"`
		}
		var infos []info
		for _, rev := range tree.Path(r) {
			i := info{rev.String(), "missing"}
			if n, _ := tree.Node(rev); n.Leaf && n.Deleted {
				i.Status = "deleted"
			} else if n.Leaf {
				i.Status = "available"
			}
			infos = append(infos, i)
		}
		meta("_revs_info", infos)
	}
	var live, dead []string
	for _, n := range tree.Leaves() {
		switch {
		case n.Rev == r:
		case n.Deleted:
			dead = append(dead, n.Rev.String())
		default:
			live = append(live, n.Rev.String())
		}
	}
	if o.conflicts && live != nil {
		meta("_conflicts", live)
	}
	if o.deletedToo && dead != nil {
		meta("_deleted_conflicts", dead)
	}
	return b, nil
}

func revisionsOf(tree store.Tree, r store.Rev) revisions {
	out := revisions{Start: r.Gen}
	for _, rev := range tree.Path(r) {
		out.IDs = append(out.IDs, rev.Hash())
	}
	return out
}
