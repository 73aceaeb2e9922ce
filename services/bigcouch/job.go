package bigcouch

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"leap.example/services/bigcouch/replicate"
)

// A job is a replication that runs, or waits to be run. The mutex of the
// replicator guards what changes.
type job struct {
	id   string
	req  *replicate.Request
	user user
	doc  string // Its document in _replicator; "": none.
	rev  string // Of that document.
	once bool   // Not tried again.

	cancel context.CancelCauseFunc
	yield  context.CancelCauseFunc // Ends the present run.
	done   chan struct{}           // Closed when the job has ended; then err and result count.
	err    error
	result *replicate.Result

	state    string // pending, running, crashing.
	failures int    // In a row.
	reason   string // Of the last failure.
	began    time.Time
	run      *replicate.Replication
	history  []event // Newest first.
}

// An event is an element of the history of a job.
type event struct {
	Time   string `json:"timestamp"`
	Type   string `json:"type"`
	Reason string `json:"reason,omitempty"`
}

// maxHistory is how many events a job remembers.
const maxHistory = 20

// note remembers an event.
func (j *job) note(kind, reason string) {
	j.history = append([]event{{wireTime(time.Now()), kind, reason}}, j.history[:min(len(j.history), maxHistory-1)]...)
}

// stop ends the job and waits for that.
func (j *job) stop() {
	j.cancel(errStopped)
	<-j.done
}

// completed is the end of a job that is not continuous.
func (r *replicator) completed(ctx context.Context, j *job, result *replicate.Result) {
	j.result = result
	if j.doc == "" {
		return
	}
	r.mu.Lock()
	rev, done := j.rev, statistic{j.run.Stats(), wireTime(j.began)}
	r.mu.Unlock()
	r.mark(ctx, j.doc, rev, "completed", "", done)
	data, _ := json.Marshal(done) // Numbers and valid JSON cannot fail.
	r.mu.Lock()
	defer r.mu.Unlock()
	if d := r.docs[j.doc]; d != nil && d.job == j {
		d.job, d.state, d.time, d.stats = nil, "completed", wireTime(time.Now()), data
	}
}

// crashed notes a failure and returns how many there are in a row.
func (r *replicator) crashed(j *job, err error, wasHealthy bool) int {
	reason := reasonOf(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if wasHealthy {
		j.failures = 0
	}
	j.failures++
	j.state, j.reason = "crashing", reason
	j.note("crashed", reason)
	r.n.log.Warn("replication failed", "id", j.id, "failures", j.failures)
	return j.failures
}

// reasonOf says to its owner why a job has failed.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*replicate.Error](err); ok {
		return e.Name + ": " + e.Reason
	}
	return "replication_error: " + err.Error()
}

// wireTime is the form of times of the scheduler.
func wireTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// A statistic is what _replicator keeps of a complete job.
type statistic struct {
	replicate.Stats
	Start string `json:"start_time"`
}

// mark writes the state of a job into its document, if that is still the one
// the job was made of.
func (r *replicator) mark(ctx context.Context, id, rev, state, why string, stats any) {
	for n := 1; ctx.Err() == nil && n <= 5; n++ {
		err := r.markOnce(ctx, id, rev, state, why, stats)
		if e, ok := errors.AsType[*wireError](err); err == nil || ok && (e.status == http.StatusConflict || e.status == http.StatusNotFound) {
			return
		}
		r.n.log.Warn("writing the state of a replication", "err", err)
		t := time.NewTimer(replicate.Backoff(n, time.Second, pace))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

func (r *replicator) markOnce(ctx context.Context, id, rev, state, why string, stats any) error {
	path := jobPath(id)
	var doc map[string]json.RawMessage
	if err := r.ask(ctx, http.MethodGet, path, nil, &doc); err != nil {
		return err
	}
	if string(doc["_rev"]) != `"`+rev+`"` {
		return nil
	}
	for name, value := range map[string]any{
		"_replication_state": state, "_replication_state_time": wireTime(time.Now()), "_replication_state_reason": why, "_replication_stats": stats,
	} {
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		delete(doc, name)
		if value != nil && value != "" {
			doc[name] = data
		}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return r.ask(ctx, http.MethodPut, path, data, new(json.RawMessage))
}

// unseen returns what is shown of a document that was written a moment ago.
func (r *replicator) unseen(ctx context.Context, id string) []docStatus {
	var data json.RawMessage
	if r.ask(ctx, http.MethodGet, jobPath(id), nil, &data) != nil {
		return nil
	}
	d, err := newJobDoc(id, data)
	if err != nil {
		return nil
	}
	return []docStatus{d.status(r.n.name())}
}

// jobPath returns the path of a document in _replicator.
func jobPath(id string) string { return "/" + strings.ReplaceAll(url.QueryEscape(id), "+", "%20") }

// tasks returns the replications that run, as _active_tasks shows them.
func (r *replicator) tasks() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []map[string]any{}
	for _, j := range r.jobs {
		if j.state != "running" {
			continue
		}
		s := j.run.Stats()
		t := map[string]any{
			"type": "replication", "replication_id": j.id, "source": j.req.Source.String(), "target": j.req.Target.String(),
			"continuous": j.req.Continuous, "user": j.user.Name, "doc_id": nil, "database": nil,
			"started_on": j.began.Unix(), "updated_on": time.Now().Unix(), "checkpoint_interval": j.req.Interval.Milliseconds(),
			"revisions_checked": s.Checked, "missing_revisions_found": s.Found, "docs_read": s.Read, "docs_written": s.Written,
			"doc_write_failures": s.Failures, "changes_pending": s.Pending, "source_seq": s.SourceSeq, "through_seq": s.Through,
			"checkpointed_source_seq": s.Checkpointed,
		}
		if j.doc != "" {
			t["doc_id"], t["database"] = j.doc, replicatorDatabase
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b map[string]any) int {
		return strings.Compare(a["replication_id"].(string), b["replication_id"].(string))
	})
	return list
}
