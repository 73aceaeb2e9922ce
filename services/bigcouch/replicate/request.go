package replicate

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// A Request is what the body of _replicate or a document of _replicator asks
// for.
type Request struct {
	Source, Target Endpoint
	Continuous     bool
	Cancel         bool
	CancelID       string // With Cancel: the id of the replication, if it is named so.

	CreateTarget bool
	CreateParams map[string]string

	DocIDs      []string // Nil: all.
	Selector    json.RawMessage
	Filter      string
	QueryParams map[string]string

	Since          json.RawMessage // Where to start if there is no checkpoint. Nil: at the beginning.
	NoCheckpoints  bool
	Interval       time.Duration // Between checkpoints.
	WinningOnly    bool          // Only the winning revision of each document.
	BatchSize      int
	Timeout        time.Duration // How long a peer may be silent.
	Attempts       int           // How often a step is tried.
	User           *UserCtx      // Nil: not given.
	State          string        // _replication_state of a document.
	StateReason    string
	StateTime      string
	StateStatistic json.RawMessage
}

// UserCtx is the member user_ctx of a document of _replicator.
type UserCtx struct {
	Name  string
	Roles []string
}

// Limits of what a request may set.
const (
	defaultInterval = 30 * time.Second
	minInterval     = 100 * time.Millisecond
	defaultBatch    = 500
	maxBatch        = 2000
	defaultTimeout  = 30 * time.Second
	minTimeout      = 100 * time.Millisecond
	defaultAttempts = 6
	maxAttempts     = 20
	maxDocIDs       = 100_000
)

// ParseRequest reads a request. Its error is an [*Error] for the client.
func ParseRequest(data []byte) (*Request, error) {
	m, err := object(data)
	if err != nil {
		return nil, errorf("bad_request", "Request body must be a JSON object")
	}
	r := &Request{Interval: defaultInterval, BatchSize: defaultBatch, Timeout: defaultTimeout, Attempts: defaultAttempts}
	for name, to := range map[string]*bool{
		"continuous": &r.Continuous, "cancel": &r.Cancel, "create_target": &r.CreateTarget, "winning_revs_only": &r.WinningOnly,
	} {
		if field(m, name, to) != nil {
			return nil, errorf("bad_request", "`%s` must be a boolean", name)
		}
	}
	for _, name := range []string{"_local_id", "id", "replication_id"} {
		if r.Cancel && field(m, name, &r.CancelID) != nil {
			return nil, errorf("bad_request", "`%s` must be a string", name)
		}
	}
	if r.CancelID != "" {
		return r, nil
	}
	for name, to := range map[string]*Endpoint{"source": &r.Source, "target": &r.Target} {
		if m[name] == nil {
			return nil, errorf("bad_request", "`%s` is missing", name)
		}
		if *to, err = ParseEndpoint(m[name]); err != nil {
			return nil, errorf("bad_request", "`%s` %s", name, err.(*Error).Reason)
		}
	}
	for _, name := range []string{"proxy", "source_proxy", "target_proxy"} {
		if v := m[name]; v != nil && string(v) != "null" && string(v) != `""` {
			return nil, errorf("bad_request", "`%s` is not supported", name)
		}
	}
	if err := r.readChoice(m); err != nil {
		return nil, err
	}
	if err := r.readPace(m); err != nil {
		return nil, err
	}
	return r, r.readDocument(m)
}

// readChoice reads which documents are meant.
func (r *Request) readChoice(m map[string]json.RawMessage) error {
	if field(m, "doc_ids", &r.DocIDs) != nil || len(r.DocIDs) > maxDocIDs {
		return errorf("bad_request", "`doc_ids` must be a list of strings")
	}
	if s := m["selector"]; s != nil && string(s) != "null" {
		if s[0] != '{' {
			return errorf("bad_request", "`selector` must be an object")
		}
		var b bytes.Buffer
		if json.Compact(&b, s) != nil {
			return errorf("bad_request", "`selector` must be an object")
		}
		r.Selector = b.Bytes()
	}
	if field(m, "filter", &r.Filter) != nil {
		return errorf("bad_request", "`filter` must be a string")
	}
	n := 0
	for _, given := range []bool{r.DocIDs != nil, r.Selector != nil, r.Filter != ""} {
		if given {
			n++
		}
	}
	if n > 1 {
		return errorf("bad_request", "`doc_ids`, `filter`, `selector` are mutually exclusive")
	}
	slices.Sort(r.DocIDs)
	r.DocIDs = slices.Compact(r.DocIDs)
	var err error
	if r.QueryParams, err = params(m, "query_params"); err != nil {
		return err
	}
	r.CreateParams, err = params(m, "create_target_params")
	return err
}

// params reads an object of what goes into a query.
func params(m map[string]json.RawMessage, name string) (map[string]string, error) {
	var in map[string]json.RawMessage
	if field(m, name, &in) != nil {
		return nil, errorf("bad_request", "`%s` must be an object", name)
	}
	var out map[string]string
	for key, value := range in {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = text
	}
	return out, nil
}

// readPace reads where to start and how fast to go.
func (r *Request) readPace(m map[string]json.RawMessage) error {
	if s := m["since_seq"]; s != nil && string(s) != "null" {
		r.Since = s
	}
	use := true
	if field(m, "use_checkpoints", &use) != nil {
		return errorf("bad_request", "`use_checkpoints` must be a boolean")
	}
	r.NoCheckpoints = !use
	for name, to := range map[string]struct {
		time  *time.Duration
		count *int
		least time.Duration
		most  int
	}{
		"checkpoint_interval": {time: &r.Interval, least: minInterval},
		"connection_timeout":  {time: &r.Timeout, least: minTimeout},
		"worker_batch_size":   {count: &r.BatchSize, most: maxBatch},
		"retries_per_request": {count: &r.Attempts, most: maxAttempts},
	} {
		var n *float64
		if field(m, name, &n) != nil || n != nil && *n < 0 {
			return errorf("bad_request", "`%s` must be a positive number", name)
		}
		switch {
		case n == nil || *n < 1:
		case to.time != nil:
			*to.time = max(to.least, time.Duration(min(*n, 3_600_000))*time.Millisecond)
		default:
			*to.count = int(min(*n, float64(to.most)))
		}
	}
	return nil
}

// readDocument reads what only documents of _replicator have.
func (r *Request) readDocument(m map[string]json.RawMessage) error {
	for name, to := range map[string]*string{
		"_replication_state": &r.State, "_replication_state_time": &r.StateTime,
	} {
		if field(m, name, to) != nil {
			return errorf("bad_request", "`%s` must be a string", name)
		}
	}
	_ = field(m, "_replication_state_reason", &r.StateReason) // It is for people.
	r.StateStatistic = m["_replication_stats"]
	if m["user_ctx"] == nil || string(m["user_ctx"]) == "null" {
		return nil
	}
	ctx, err := object(m["user_ctx"])
	if err != nil {
		return errorf("bad_request", "The `user_ctx` property must be a non-null object.")
	}
	r.User = new(UserCtx)
	if field(ctx, "name", &r.User.Name) != nil || string(ctx["name"]) == `""` {
		return errorf("bad_request", "The `user_ctx.name` property must be a non-empty string or null.")
	}
	if field(ctx, "roles", &r.User.Roles) != nil {
		return errorf("bad_request", "The `user_ctx.roles` property must be an array of strings.")
	}
	if slices.Contains(r.User.Roles, "") {
		return errorf("bad_request", "Roles must be non-empty strings.")
	}
	return nil
}

// ID names the replication that user has asked for, the same on every node and
// after every restart. It has no secret in it.
func (r *Request) ID(user string) string {
	id := digest(append(r.what(), user)...)
	if r.Continuous {
		id += "+continuous"
	}
	if r.CreateTarget {
		id += "+create_target"
	}
	return id
}

// what is all that makes two replications different ones.
func (r *Request) what() []any {
	return []any{
		idVersion, r.Source.identity(), r.Target.identity(), r.DocIDs, r.Selector, r.Filter, r.QueryParams, r.WinningOnly,
		string(bytes.TrimSpace(r.Since)),
	}
}

// idVersion is the version of CouchDB's ids of replications that ours are like.
const idVersion = 4

// digest returns the MD5 of values in JSON; maps are in order of their keys.
func digest(values ...any) string {
	data, _ := json.Marshal(values) // Strings, maps and valid JSON cannot fail.
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// function returns the design document and the name of the filter, if it is
// not one of the server's own.
func (r *Request) function() (ddoc, name string, ok bool) {
	if r.Filter == "" || strings.HasPrefix(r.Filter, "_") {
		return "", "", false
	}
	ddoc, name, ok = strings.Cut(r.Filter, "/")
	return ddoc, name, ok
}
