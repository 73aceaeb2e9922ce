package bigcouch

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A jobStatus is a job as _scheduler/jobs shows it.
type jobStatus struct {
	Database *string `json:"database"`
	DocID    *string `json:"doc_id"`
	History  []event `json:"history"`
	ID       string  `json:"id"`
	Info     any     `json:"info"`
	Node     string  `json:"node"`
	PID      *string `json:"pid"`
	Source   string  `json:"source"`
	Start    string  `json:"start_time"`
	Target   string  `json:"target"`
	User     *string `json:"user"`
}

// A docStatus is a document of _replicator as _scheduler/docs shows it.
type docStatus struct {
	Database    string  `json:"database"`
	DocID       string  `json:"doc_id"`
	Errors      int     `json:"error_count"`
	ID          *string `json:"id"`
	Info        any     `json:"info"`
	Updated     string  `json:"last_updated"`
	Node        string  `json:"node"`
	SourceProxy *string `json:"source_proxy"`
	TargetProxy *string `json:"target_proxy"`
	Source      *string `json:"source"`
	Start       string  `json:"start_time"`
	State       string  `json:"state"`
	Target      *string `json:"target"`
}

// status returns what is shown of a job. The caller holds the mutex.
func (j *job) status(node string) jobStatus {
	s := jobStatus{
		History: slices.Clone(j.history), ID: j.id, Info: j.info(), Node: node,
		Source: j.req.Source.String(), Target: j.req.Target.String(), Start: j.history[len(j.history)-1].Time,
	}
	if j.doc != "" {
		database := replicatorDatabase
		s.Database, s.DocID = &database, &j.doc
	}
	if j.user.Name != "" {
		s.User = &j.user.Name
	}
	return s
}

// info is what a job has done, or why it has failed.
func (j *job) info() any {
	switch {
	case j.state == "crashing":
		return map[string]string{"error": j.reason}
	case j.run == nil:
		return nil
	}
	return j.run.Stats()
}

// status returns what is shown of a document. The caller holds the mutex.
func (d *jobDoc) status(node string) docStatus {
	s := docStatus{Database: replicatorDatabase, DocID: d.id, State: d.state, Updated: d.time, Start: d.time, Node: node}
	if d.req != nil {
		source, target, id := d.req.Source.String(), d.req.Target.String(), d.req.ID(d.user.Name)
		s.Source, s.Target, s.ID = &source, &target, &id
	}
	switch {
	case d.job != nil:
		s.State, s.Errors, s.Info = d.job.state, d.job.failures, d.job.info()
		s.Start, s.Updated = d.job.history[len(d.job.history)-1].Time, d.job.history[0].Time
	case d.why != "":
		s.Info, s.Errors = map[string]string{"error": d.why}, 1
	case d.state == "completed" && len(d.stats) > 0:
		s.Info, s.ID = d.stats, nil
	}
	return s
}

// scheduler serves _scheduler and what is below it.
func (c *call) scheduler() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	rest := c.path[1:]
	switch {
	case len(rest) == 1 && rest[0] == "jobs":
		return replyPage(c, "jobs", c.jobRows())
	case len(rest) == 2 && rest[0] == "jobs":
		return replyRow(c, c.jobRows(), func(s jobStatus) bool { return s.ID == rest[1] })
	case len(rest) == 1 && rest[0] == "docs", len(rest) == 2 && rest[0] == "docs" && rest[1] == replicatorDatabase:
		rows := c.docRows()
		if list := c.query.Get("states"); list != "" {
			states := strings.Split(list, ",")
			rows = slices.DeleteFunc(rows, func(s docStatus) bool { return !slices.Contains(states, s.State) })
		}
		return replyPage(c, "docs", rows)
	case len(rest) > 2 && rest[0] == "docs" && rest[1] == replicatorDatabase:
		id := strings.Join(rest[2:], "/")
		rows := append(c.docRows(), c.repl.unseen(c.ctx(), id)...)
		return replyRow(c, rows, func(s docStatus) bool { return s.DocID == id })
	}
	return notFound("missing")
}

// jobRows returns the jobs of all nodes, in order of their ids.
func (c *call) jobRows() []jobStatus {
	c.repl.mu.Lock()
	rows := []jobStatus{}
	for _, j := range c.repl.jobs {
		rows = append(rows, j.status(c.name()))
	}
	c.repl.mu.Unlock()
	rows = append(rows, ofOthers[jobStatus](c, "jobs")...)
	slices.SortFunc(rows, func(a, b jobStatus) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Node, b.Node)) })
	return rows
}

// docRows returns the documents of _replicator, in order of their ids, each as
// the node sees it that runs its job. Another node is told of our own only.
func (c *call) docRows() []docStatus {
	byID := map[string]docStatus{}
	c.repl.mu.Lock()
	for id, d := range c.repl.docs {
		if c.repl.owns(id) || c.ctx().Value(fromPeer{}) == nil {
			byID[id] = d.status(c.name())
		}
	}
	c.repl.mu.Unlock()
	for _, s := range ofOthers[docStatus](c, "docs") {
		byID[s.DocID] = s
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b docStatus) int { return cmp.Compare(a.DocID, b.DocID) })
}

// replyRow answers with the row that is meant.
func replyRow[T any](c *call, rows []T, meant func(T) bool) error {
	i := slices.IndexFunc(rows, meant)
	if i < 0 {
		return notFound("missing")
	}
	c.reply(http.StatusOK, rows[i])
	return nil
}

// replyPage answers with the rows that skip and limit leave.
func replyPage[T any](c *call, name string, rows []T) error {
	skip, err := c.number("skip", 0)
	if err != nil {
		return err
	}
	limit, err := c.number("limit", len(rows))
	if err != nil {
		return err
	}
	from := min(skip, len(rows))
	list, err := json.Marshal(append([]T{}, rows[from:min(len(rows), from+limit)]...)) // Never null.
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{"total_rows": len(rows), "offset": skip, name: json.RawMessage(list)})
	return nil
}
