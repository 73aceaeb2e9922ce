package bigcouch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// How much of a list of documents goes into one entry of the log: what other
// nodes have to take must not keep them from hearing that their leader lives.
const (
	entryBytes      = 512 << 10
	entryBytesAlone = 2 << 20
)

// opHeader is what a client calls a logical write.
const opHeader = "X-Leap-Op"

// opID returns the id of this logical write: X-Leap-Op, bound to the account
// and to what is written, or none.
func (c *call) opID() (store.OpID, error) {
	op := c.r.Header.Get(opHeader)
	if op == "" {
		return store.OpID{}, nil
	}
	if len(op) < 16 || len(op) > 64 || strings.ContainsFunc(op, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return store.OpID{}, badRequest("%s must have 16 to 64 printable characters", opHeader)
	}
	h := sha256.New()
	for _, s := range []string{c.user.Name, c.db.UUID(), c.r.Method, c.r.URL.EscapedPath(), op} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return store.OpID(h.Sum(nil)[:16]), nil
}

// derived returns the id of one of several operations that make a logical
// write; none of none.
func derived(op store.OpID, label string) store.OpID {
	if op == (store.OpID{}) {
		return op
	}
	sum := sha256.Sum256(append(op[:], label...))
	return store.OpID(sum[:16])
}

// madeID returns an id for the i-th document of the request, which has none: the
// same one when the write is repeated.
func (c *call) madeID(i int) (string, error) {
	op, err := c.opID()
	if err != nil || op == (store.OpID{}) {
		return newUUID(), err
	}
	id := derived(op, "id "+strconv.Itoa(i))
	return hex.EncodeToString(id[:]), nil
}

// A draft is a document on its way into the log. One that is refused already
// goes along, for its place in the answer.
type draft struct {
	store.Doc
	size int // About how many bytes the client has sent.
}

// write stores documents and returns what became of each.
func (c *call) write(drafts []draft, replicated bool) ([]store.DocResult, error) {
	op, err := c.opID()
	if err != nil {
		return nil, err
	}
	return c.writeAs(op, drafts, replicated)
}

// writeAs is write under the name of an operation. The list is taken apart by
// what the client has sent and by nothing else: each entry is an operation, and
// when the client repeats the write all of them must be what they were.
func (c *call) writeAs(op store.OpID, drafts []draft, replicated bool) ([]store.DocResult, error) {
	limit := entryBytes
	if c.engine.set == nil && op == (store.OpID{}) { // Operations stay what they are when a node gets company.
		limit = entryBytesAlone
	}
	var results []store.DocResult
	for len(drafts) > 0 {
		n := 0
		for size := 0; n < len(drafts) && size < limit; n++ {
			size += 512 + drafts[n].size
		}
		written, err := c.writeLot(op, drafts[:n], replicated)
		if err != nil {
			return nil, errors.Join(err, c.abandonDrafts(drafts[n:]))
		}
		results = append(results, written...)
		drafts = drafts[n:]
		op = derived(op, "next")
	}
	return results, c.forgetViews(results)
}

// enter writes documents by one entry, as far as they are not refused.
func (c *call) enter(op store.OpID, docs []store.Doc, replicated bool, judged uint64) ([]store.DocResult, error) {
	w := store.WriteDocs{DB: c.db.ID, RevsLimit: c.db.RevsLimit, Replicated: replicated, Docs: docs}
	if slices.ContainsFunc(docs, func(d store.Doc) bool { return d.Refused == nil && !isDesign(d.ID) }) {
		w.Judged = judged // Design documents decide about others than themselves.
	}
	r, err := c.propose(c.ctx(), c.db.Shard, op, w)
	if err != nil {
		return nil, err
	}
	same := slices.EqualFunc(docs, r.Docs, func(d store.Doc, r store.DocResult) bool { return d.ID == r.ID })
	if !same { // Of another release, or of a client that calls two writes the same.
		return nil, badRequest("%s names another write", opHeader)
	}
	c.metrics.writes.Add(float64(len(r.Docs)))
	return r.Docs, nil
}
