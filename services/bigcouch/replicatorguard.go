package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/bigcouch/replicate"
	"leap.example/services/bigcouch/store"
)

// replicationMembers are members of documents that begin with "_" and are kept
// as they are: what the replicator writes about a job.
var replicationMembers = map[string]bool{
	"_replication_id": true, "_replication_state": true, "_replication_state_time": true, "_replication_state_reason": true,
	"_replication_stats": true, "_replication_start_time": true,
}

// guardReplicatorDatabase keeps members of _replicator from what shows more of
// its documents than they may see: queries tell passwords bit by bit.
func (c *call) guardReplicatorDatabase() error {
	if c.db.Name != replicatorDatabase || len(c.path) < 2 || c.wantDatabaseAdmin() == nil {
		return nil
	}
	refused := forbidden("Only admins can access " + c.path[1] + " of system databases.")
	switch c.path[1] {
	case "_all_docs", "_bulk_docs", "_bulk_get", "_revs_diff", "_missing_revs", "_ensure_full_commit", "_security", "_local":
		return nil
	case "_changes":
		if c.r.Method == http.MethodPost || c.query.Has("filter") || c.query.Has("selector") {
			return refused
		}
		return nil
	}
	if strings.HasPrefix(c.path[1], "_") && slices.ContainsFunc(append([]string{c.path[1]}, c.path[2:]...), func(e string) bool {
		return strings.HasPrefix(e, "_") && !strings.HasPrefix(e, "_design")
	}) {
		return refused
	}
	return nil
}

// A jobOwner is what a document of _replicator says about whose it is.
type jobOwner struct {
	Owner *string `json:"owner"`
}

func ownerOf(body []byte) string {
	var o jobOwner
	if m, err := exactly(body); err == nil && m["owner"] != nil && json.Unmarshal(m["owner"], &o.Owner) == nil && o.Owner != nil {
		return *o.Owner
	}
	return ""
}

// veil hides names and passwords of source and target from all but the owner of
// a document of _replicator and administrators.
func (c *call) veil(body []byte) ([]byte, error) {
	if c.wantDatabaseAdmin() == nil || c.user.Name != "" && ownerOf(body) == c.user.Name {
		return body, nil
	}
	m, err := exactly(body)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"source", "target"} {
		if m[name] != nil {
			m[name] = replicate.Strip(m[name])
		}
	}
	return json.Marshal(m)
}

// mayReplicate checks a document of _replicator and notes whose it is. Nobody
// gives a job rights that he has not himself.
func (c *call) mayReplicate(d *document) error {
	if c.user.handler == systemHandler {
		return nil
	}
	admin := c.wantDatabaseAdmin() == nil
	if err := c.ownsJob(d.id, admin); err != nil || d.deleted {
		return err
	}
	m, err := exactly(d.body)
	if err != nil {
		return err
	}
	switch owner := ownerOf(d.body); {
	case owner == "" || owner == c.user.Name:
		var name *string
		if c.user.Name != "" {
			name = &c.user.Name
		}
		if m["owner"], err = json.Marshal(name); err != nil {
			return err
		}
	case !admin:
		return errOthersJob
	}
	req, err := replicate.ParseRequest(d.body)
	if e, ok := err.(*replicate.Error); ok {
		return forbidden(e.Reason)
	}
	if err != nil {
		return err
	}
	if err := c.mayClaim(req.User); err != nil {
		return err
	}
	d.body, err = json.Marshal(m)
	return err
}

var errOthersJob = forbidden("Can't update replication documents from other users.")

// ownsJob refuses to change a document of somebody else.
func (c *call) ownsJob(id string, admin bool) error {
	if admin {
		return nil
	}
	v := c.view()
	defer v.Close()
	d, err := v.Document(c.db, id)
	if err != nil || d == nil {
		return err
	}
	tree, err := d.Tree()
	if err != nil {
		return err
	}
	for _, n := range tree.Leaves() {
		if n.Deleted {
			continue
		}
		body, err := v.Body(c.db, d, n.Rev)
		if err != nil {
			return err
		}
		if c.user.Name == "" || ownerOf(body.JSON) != c.user.Name {
			return errOthersJob
		}
	}
	return nil
}

// mayClaim checks a user_ctx. A server administrator may name anybody.
func (c *call) mayClaim(ctx *replicate.UserCtx) error {
	if c.user.admin {
		return nil
	}
	if ctx == nil {
		return forbidden("The `user_ctx` property is missing (it is optional for admins only).")
	}
	if ctx.Name != c.user.Name {
		return forbidden("The given `user_ctx.name` is not valid")
	}
	for _, role := range ctx.Roles {
		if !slices.Contains(c.user.Roles, role) {
			return forbidden("Invalid role (`" + role + "`) in the `user_ctx`")
		}
	}
	return nil
}

// shown returns the body of a leaf as the user may see it.
func (c *call) shown(body store.Body) (store.Body, error) {
	if c.db.Name != replicatorDatabase {
		return body, nil
	}
	var err error
	body.JSON, err = c.veil(body.JSON)
	return body, err
}
