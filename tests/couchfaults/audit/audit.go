// Package audit looks at what the nodes of a cluster hold once faults are over,
// and compares it with what clients were told and with each other.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/load"
)

// An Auditor asks nodes, each one for itself.
type Auditor struct {
	URLs     []string
	User     string
	Password string

	hc *http.Client
}

// New returns an auditor. The caller ends with Close.
func New(urls []string, user, password string) *Auditor {
	return &Auditor{URLs: urls, User: user, Password: password, hc: load.NewHTTP(time.Minute)}
}

// Close ends its connections.
func (a *Auditor) Close() { a.hc.CloseIdleConnections() }

// Do sends a request to one node and decodes the answer, unless out is nil.
func (a *Auditor) Do(ctx context.Context, method, node, path, body string, out any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, node+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(a.User, a.Password)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := a.hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return resp.StatusCode, err
	}
	if out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(data, out)
	}
	if resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: status %d: %s", method, path, resp.StatusCode, data)
	}
	return resp.StatusCode, err
}

// Holdings are the documents of a database on one node: chains of revisions,
// and the revision that wins.
type Holdings struct {
	Chains  map[string]history.Chain
	Winners map[string]string
}

// Read returns what one node holds of a database, without asking others. hot
// are the documents whose chains are wanted: others have one revision.
func (a *Auditor) Read(ctx context.Context, node, db string, hot []string) (Holdings, error) {
	h := Holdings{map[string]history.Chain{}, map[string]string{}}
	var all struct {
		Rows []struct {
			ID    string
			Value struct{ Rev string }
		}
	}
	if _, err := a.Do(ctx, http.MethodGet, node, "/"+db+"/_all_docs", "", &all); err != nil {
		return h, err
	}
	for i, row := range all.Rows {
		if i > 0 && row.ID <= all.Rows[i-1].ID {
			return h, fmt.Errorf("_all_docs: %s comes behind %s", row.ID, all.Rows[i-1].ID)
		}
		h.Chains[row.ID] = history.Chain{Revs: []string{row.Value.Rev}}
		h.Winners[row.ID] = row.Value.Rev
	}
	for _, id := range hot {
		if err := a.chain(ctx, &h, node, db, id); err != nil {
			return h, err
		}
	}
	return h, nil
}

// chain reads all revisions of one document, deleted or not.
func (a *Auditor) chain(ctx context.Context, h *Holdings, node, db, id string) error {
	var leaves []struct {
		OK struct {
			Rev       string `json:"_rev"`
			Revisions struct {
				Start int
				IDs   []string
			} `json:"_revisions"`
		}
	}
	status, err := a.Do(ctx, http.MethodGet, node, "/"+db+"/"+id+"?open_revs=all&revs=true", "", &leaves)
	if status == http.StatusNotFound {
		if was, ok := h.Winners[id]; ok {
			return fmt.Errorf("%s is listed at %s but not there", id, was)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(leaves) != 1 {
		return fmt.Errorf("%s has %d leaves: nobody made a conflict", id, len(leaves))
	}
	leaf := leaves[0].OK
	if listed, ok := h.Winners[id]; ok && listed != leaf.Rev {
		return fmt.Errorf("%s is listed at %s and is at %s", id, listed, leaf.Rev)
	}
	c := history.Chain{Stemmed: len(leaf.Revisions.IDs) < leaf.Revisions.Start}
	for i, hash := range leaf.Revisions.IDs {
		c.Revs = append(c.Revs, fmt.Sprintf("%d-%s", leaf.Revisions.Start-i, hash))
	}
	h.Chains[id], h.Winners[id] = c, leaf.Rev
	return nil
}

// Hot returns the documents of a history that were written more than once.
func Hot(ops []history.Op) []string {
	seen := map[string]int{}
	var hot []string
	for _, op := range ops {
		if op.Kind != history.Write {
			continue
		}
		if seen[op.Doc]++; seen[op.Doc] == 2 {
			hot = append(hot, op.Doc)
		}
	}
	slices.Sort(hot)
	return hot
}

// Database judges one database on every node that is asked: acknowledged writes
// are there, nothing else is, and all nodes say the same.
func (a *Auditor) Database(ctx context.Context, db string, ops []history.Op) (Holdings, error) {
	var first Holdings
	for i, node := range a.URLs {
		h, err := a.Read(ctx, node, db, Hot(ops))
		if err != nil {
			return h, fmt.Errorf("node %d: %w", i, err)
		}
		if lost := history.Lost(ops, h.Chains); len(lost) > 0 {
			return h, &LostError{i, lost}
		}
		if i == 0 {
			first = h
		}
		if err := compare(first, h); err != nil {
			return h, fmt.Errorf("nodes 0 and %d: %w", i, err)
		}
		if err := a.count(ctx, node, db, h); err != nil {
			return h, fmt.Errorf("node %d: %w", i, err)
		}
	}
	return first, invented(ops, first)
}

// A LostError says that acknowledged writes are not there.
type LostError struct {
	Node int
	Ops  []history.Op
}

func (e *LostError) Error() string {
	return fmt.Sprintf("node %d has lost %d acknowledged writes, as %+v", e.Node, len(e.Ops), e.Ops[0])
}

func compare(a, b Holdings) error {
	if len(a.Winners) != len(b.Winners) {
		return fmt.Errorf("%d documents and %d", len(a.Winners), len(b.Winners))
	}
	for id, rev := range a.Winners {
		if b.Winners[id] != rev || !slices.Equal(a.Chains[id].Revs, b.Chains[id].Revs) {
			return fmt.Errorf("%s is at %s and at %s", id, rev, b.Winners[id])
		}
	}
	return nil
}

// count compares the counters of the database with its documents.
func (a *Auditor) count(ctx context.Context, node, db string, h Holdings) error {
	var info struct {
		Docs    int `json:"doc_count"`
		Deleted int `json:"doc_del_count"`
	}
	if _, err := a.Do(ctx, http.MethodGet, node, "/"+url.PathEscape(db), "", &info); err != nil {
		return err
	}
	if info.Docs+info.Deleted != len(h.Winners) {
		return fmt.Errorf("%d documents and %d tombstones counted, %d found", info.Docs, info.Deleted, len(h.Winners))
	}
	return nil
}

// invented returns an error if there is a document that nobody wrote.
func invented(ops []history.Op, h Holdings) error {
	written := map[string]bool{}
	for _, op := range ops {
		written[op.Doc] = written[op.Doc] || op.Kind == history.Write
	}
	for id := range h.Winners {
		if !written[id] {
			return errors.New("nobody wrote " + id)
		}
	}
	return nil
}
