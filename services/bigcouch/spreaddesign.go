package bigcouch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/services/bigcouch/store"
)

// Design documents decide in each part about writes, and say which indexes and
// views it has. They belong to part 0; after each write there, and before it is
// acknowledged, the other parts get copies. A write that was not acknowledged
// may be known to some parts only: until the next one, until a query that needs
// the design documents notices it, or until part 0 has a new leader.

// designTimeout is how long copying may take, also when the client has gone.
const designTimeout = 30 * time.Second

// spreadDesign passes a request that writes design documents on to part 0, with
// its body as it is.
func (c *call) spreadDesign() error {
	data, err := c.readBody()
	if err != nil {
		return err
	}
	if c.r.ContentLength == 0 {
		data = nil
	}
	return c.writeDesign(demand{
		method: c.r.Method, path: c.path[1:], query: c.query, body: data, media: c.r.Header.Get("Content-Type"), match: c.r.Header.Get("If-Match"),
	}, "/"+strings.Trim(c.r.URL.EscapedPath(), "/"))
}

// writeDesign writes to part 0, brings the others there, and answers. What was
// made lies at a path.
func (c *call) writeDesign(d demand, at string) error {
	resp, err := c.demand(c.ctx(), 0, d)
	if err != nil {
		return c.unsettled(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return c.unsettled(partLost(err))
	}
	// A conflict may be with what the same client wrote before, when the copies
	// could not be made.
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusConflict {
		if err := c.settleDesigns(); err != nil {
			return err
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return c.relay(resp, at)
}

// unsettled is an error after which part 0 may hold what was written: the others
// are brought there as far as that succeeds.
func (c *call) unsettled(err error) error {
	_ = c.settleDesigns() // The next request that needs design documents tries again.
	return err
}

// designsOf lists the design documents of a part.
func (c *call) designsOf(ctx context.Context, i int, fresh bool) (designList, error) {
	admin := systemUser
	rows, err := c.open(ctx, i, "rows", demand{method: http.MethodGet, path: []string{"_design_docs"}, designs: showCopies, fresh: fresh, as: &admin})
	if err != nil {
		return nil, err
	}
	defer rows.body.Close()
	var list designList
	for {
		data, err := rows.next()
		if err != nil || data == nil {
			return list, err
		}
		var row struct {
			ID    string
			Value struct{ Rev string }
		}
		if err := json.Unmarshal(data, &row); err != nil {
			return nil, err
		}
		list = append(list, designRev{row.ID, row.Value.Rev})
	}
}

// recoverDesigns does what is left to do of a write of design documents that a
// crash has cut short.
func (n *node) recoverDesigns(ctx context.Context, db *store.Database) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	if err == nil {
		err = (&call{node: n, r: r, user: systemUser, db: db}).syncDesigns(ctx)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn("design documents are not yet the same in all parts of a database", "err", err)
	}
}

// settleDesigns is syncDesigns after a write, also when the client has gone.
func (c *call) settleDesigns() error { return c.syncDesigns(context.WithoutCancel(c.ctx())) }

// syncDesigns makes the design documents of all parts those of part 0.
func (c *call) syncDesigns(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, designTimeout)
	defer cancel()
	home, err := c.designsOf(ctx, 0, true)
	if err != nil {
		return fmt.Errorf("design documents of part 0: %w", err)
	}
	errs := make([]error, c.parts())
	var wg sync.WaitGroup
	for i := 1; i < c.parts(); i++ {
		wg.Go(func() { errs[i] = c.copyDesigns(ctx, i, home) })
	}
	wg.Wait()
	if err := firstOf(errs); err != nil {
		return unavailable("The design documents have not reached every part: %v", err)
	}
	return nil
}

// copyDesigns makes the design documents of a part those of part 0, of which
// home has the list.
func (c *call) copyDesigns(ctx context.Context, i int, home designList) error {
	here, err := c.designsOf(ctx, i, true)
	if err != nil || slices.Equal(here, home) {
		return err
	}
	differ := map[string]bool{}
	for _, d := range home {
		differ[d.id] = !slices.Contains(here, d)
	}
	for _, d := range here {
		differ[d.id] = !slices.Contains(home, d)
	}
	for _, id := range slices.Sorted(maps.Keys(differ)) {
		if !differ[id] {
			continue
		}
		if err := c.copyDesign(ctx, i, id); err != nil {
			return err
		}
	}
	return nil
}

// copyDesign makes the leaves of a design document in a part those that part 0
// has. What the part has beyond them is purged: it was purged in part 0, or a
// backup of another moment brought it. The part is asked first, so that what
// comes to both meanwhile is not taken for such.
func (c *call) copyDesign(ctx context.Context, i int, id string) error {
	had, err := c.leavesOf(ctx, i, id)
	if err != nil {
		return err
	}
	leaves, err := c.leavesOf(ctx, 0, id)
	if err != nil {
		return err
	}
	if len(leaves) > 0 {
		if err := c.pushDesign(ctx, i, leaves); err != nil {
			return err
		}
	}
	extra, err := revsOf(had)
	if err != nil {
		return err
	}
	wanted, err := revsOf(leaves)
	if err != nil {
		return err
	}
	// One that is an ancestor now is no leaf any more, and purging leaves it alone.
	extra = slices.DeleteFunc(extra, func(rev string) bool { return slices.Contains(wanted, rev) })
	if len(extra) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string][]string{id: extra})
	if err != nil {
		return err
	}
	admin := systemUser
	_, _, err = c.hear(ctx, i, demand{method: http.MethodPost, path: []string{"_purge"}, body: body, as: &admin})
	return err
}

// pushDesign adds leaves of a design document to a part.
func (c *call) pushDesign(ctx context.Context, i int, leaves []json.RawMessage) error {
	docs, err := json.Marshal(map[string]any{"new_edits": false, "docs": leaves})
	if err != nil {
		return err
	}
	admin := systemUser
	_, answer, err := c.hear(ctx, i, demand{method: http.MethodPost, path: []string{"_bulk_docs"}, body: docs, as: &admin})
	if err != nil {
		return err
	}
	var results []bulkResult
	if err := json.Unmarshal(answer, &results); err != nil {
		return err
	}
	if failed := failures(results); len(failed) > 0 {
		return fmt.Errorf("a design document was refused: %s", failed[0].Reason)
	}
	return nil
}

// revsOf returns the revisions of documents.
func revsOf(docs []json.RawMessage) (revs []string, err error) {
	for _, data := range docs {
		var doc struct {
			Rev string `json:"_rev"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return nil, err
		}
		revs = append(revs, doc.Rev)
	}
	return revs, nil
}

// leavesOf returns the leaves of a design document in a part, with attachments
// and ancestors; none of one that is not there.
func (c *call) leavesOf(ctx context.Context, i int, id string) (docs []json.RawMessage, err error) {
	admin := systemUser
	query := map[string][]string{"open_revs": {"all"}, "revs": {"true"}, "attachments": {"true"}}
	_, data, err := c.hear(ctx, i, demand{method: http.MethodGet, path: []string{"_design", id[len("_design/"):]}, query: query, fresh: true, as: &admin})
	if e, known := asWire(err); known && e.status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []struct{ OK json.RawMessage }
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	for _, leaf := range list {
		if leaf.OK != nil {
			docs = append(docs, leaf.OK)
		}
	}
	return docs, nil
}

// withDesigns calls f with the sum of part 0's design documents, for demands
// that are about them. When a part has others, f is called again after that was
// mended.
func (c *call) withDesigns(f func(sum string, fresh bool) error) error {
	for tries := 0; ; tries++ {
		home, err := c.designsOf(c.ctx(), 0, tries > 0)
		if err != nil {
			return err
		}
		err = f(home.sum(), tries > 0)
		if !isDesignsError(err) || tries == 3 {
			return err
		}
		if err := c.syncDesigns(c.ctx()); err != nil {
			return err
		}
	}
}

// isDesignsError reports whether a part has answered errDesigns.
func isDesignsError(err error) bool {
	e, ok := errors.AsType[*wireError](err)
	return ok && *e == *errDesigns
}
