package bigcouch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"leap.example/services/bigcouch/replicate"
	"leap.example/services/bigcouch/store"
)

// replicatorDatabase is the database whose documents are jobs.
const replicatorDatabase = "_replicator"

// systemHandler marks the requests of the replicator itself. How it is
// authenticated no client can claim.
const systemHandler = "replicator"

var systemUser = user{Roles: []string{"_admin", "_replicator"}, admin: true, handler: systemHandler}

// pace is how often the replicator looks for what nobody tells it of.
const pace = 5 * time.Second

// A jobDoc is a document of _replicator.
type jobDoc struct {
	id    string
	rev   string
	body  []byte
	req   *replicate.Request // Nil: it could not be read.
	user  user
	state string // Without a job: initializing, error, failed, completed.
	why   string // Of error and failed.
	time  string
	stats json.RawMessage
	job   *job // Nil: none runs here.
}

// owns reports whether the job of a document runs on this node. On a cluster it
// does where the leader is of a shard that stands for the document. While
// leaders change two may run it, or none: the one is harmless, the other short.
func (r *replicator) owns(id string) bool {
	e := r.n.engine
	if e.set == nil {
		return true
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	return e.set.Leads(uint16(h.Sum32()%uint32(e.shards)) + 1)
}

// follow keeps jobs in step with the documents of _replicator.
func (r *replicator) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.followOne(ctx)
		if errors.Is(err, store.ErrNoDatabase) {
			r.forget(nil)
		} else if err != nil && ctx.Err() == nil {
			r.n.log.Warn("following the database of replications", "err", err)
		}
		t := time.NewTimer(pace)
		select {
		case <-r.kick:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// A jobRow is one row of the changes of _replicator.
type jobRow struct {
	ID      string          `json:"id"`
	Deleted bool            `json:"deleted"`
	Doc     json.RawMessage `json:"doc"`
}

// followOne follows one incarnation of _replicator to its end.
func (r *replicator) followOne(ctx context.Context) error {
	uuid, err := r.n.uuid(replicatorDatabase)
	if err != nil {
		return err
	}
	since, feed := "0", "normal"
	seen := map[string]bool{} // Until all have been read once.
	for {
		q := url.Values{"include_docs": {"true"}, "limit": {"100"}, "since": {since}, "feed": {feed}, "timeout": {"5000"}}
		var page struct {
			Results []jobRow `json:"results"`
			Last    string   `json:"last_seq"`
		}
		if err := r.ask(ctx, http.MethodGet, "/_changes?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		if now, err := r.n.uuid(replicatorDatabase); err != nil || now != uuid {
			return err
		}
		for _, row := range page.Results {
			if seen != nil {
				seen[row.ID] = true
			}
			r.changed(ctx, row)
		}
		since = page.Last
		if len(page.Results) == 0 && seen != nil {
			r.forget(seen)
			seen, feed = nil, "longpoll"
		}
		r.reconcile()
	}
}

// ask sends a request about _replicator to this node.
func (r *replicator) ask(ctx context.Context, method, path string, body []byte, to any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/"+replicatorDatabase+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := inProcess{r.n, systemUser}.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusNotFound && strings.HasPrefix(path, "/_changes"):
		return store.ErrNoDatabase
	case resp.StatusCode >= 300:
		return &wireError{resp.StatusCode, "refused", http.StatusText(resp.StatusCode)}
	}
	return json.Unmarshal(data, to)
}

// changed takes notice of a document.
func (r *replicator) changed(ctx context.Context, row jobRow) {
	if isDesign(row.ID) {
		return
	}
	if row.Deleted {
		r.drop(row.ID)
		return
	}
	d, err := newJobDoc(row.ID, row.Doc)
	if err != nil {
		return // Stored documents can be read.
	}
	r.mu.Lock()
	old := r.docs[row.ID]
	same := old != nil && bytes.Equal(old.body, d.body)
	if same {
		old.rev = d.rev
		if old.job != nil {
			old.job.rev = d.rev
		}
	}
	r.mu.Unlock()
	if same {
		return
	}
	r.drop(row.ID)
	if d.req == nil && r.owns(d.id) {
		var kept struct {
			State string `json:"_replication_state"`
		}
		if json.Unmarshal(d.body, &kept) != nil || kept.State != "failed" {
			r.mark(ctx, d.id, d.rev, "failed", d.why, nil)
		}
	}
	r.mu.Lock()
	r.docs[d.id] = d
	r.mu.Unlock()
}

// newJobDoc reads a document.
func newJobDoc(id string, data []byte) (*jobDoc, error) {
	doc, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	d := &jobDoc{id: id, rev: doc.rev, body: doc.body, state: "initializing", time: wireTime(time.Now())}
	if d.req, err = replicate.ParseRequest(d.body); err != nil {
		d.req, d.state, d.why = nil, "failed", reasonOf(err)
		return d, nil
	}
	d.user = userOf(d.req.User)
	if s := d.req.State; s == "completed" || s == "failed" {
		d.state, d.why, d.time, d.stats = s, d.req.StateReason, d.req.StateTime, d.req.StateStatistic
	}
	return d, nil
}

// userOf returns whose rights a document has; nobody's if it does not say.
func userOf(ctx *replicate.UserCtx) user {
	if ctx == nil {
		return user{}
	}
	return user{Name: ctx.Name, Roles: ctx.Roles, admin: slices.Contains(ctx.Roles, "_admin")}
}

// drop ends the job of a document that is no more, or another.
func (r *replicator) drop(id string) {
	r.mu.Lock()
	d := r.docs[id]
	delete(r.docs, id)
	r.mu.Unlock()
	if d != nil && d.job != nil {
		d.job.stop()
	}
}

// forget drops all documents but some.
func (r *replicator) forget(but map[string]bool) {
	r.mu.Lock()
	var ids []string
	for id := range r.docs {
		if !but[id] {
			ids = append(ids, id)
		}
	}
	r.mu.Unlock()
	for _, id := range ids {
		r.drop(id)
	}
}

// reconcile starts the jobs that should run here and do not, and ends those of
// documents that another node owns.
func (r *replicator) reconcile() {
	r.mu.Lock()
	var begin, end []*jobDoc
	for id, d := range r.docs {
		switch owned := r.owns(id); {
		case owned && d.job == nil && d.req != nil && (d.state == "initializing" || d.state == "error"):
			begin = append(begin, d)
		case !owned && d.job != nil:
			end = append(end, d)
		}
	}
	r.mu.Unlock()
	for _, d := range end {
		d.job.stop()
		r.mu.Lock()
		d.job, d.state = nil, "initializing"
		r.mu.Unlock()
	}
	slices.SortFunc(begin, func(a, b *jobDoc) int { return strings.Compare(a.id, b.id) })
	for _, d := range begin {
		j := &job{id: d.req.ID(d.user.Name), req: d.req, user: d.user, doc: d.id, rev: d.rev}
		running, err := r.start(j)
		r.mu.Lock()
		switch {
		case err != nil: // The node stops.
		case running == j:
			d.job, d.state = j, "initializing"
		default:
			d.state, d.why = "error", "The same replication runs already"
		}
		r.mu.Unlock()
	}
}
