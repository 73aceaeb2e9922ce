package bigcouch

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

// splitPath takes an escaped path apart. A slash inside an element is escaped;
// a plus is a space, as in CouchDB.
func splitPath(escaped string) ([]string, error) {
	var path []string
	for e := range strings.SplitSeq(escaped, "/") {
		if e == "" {
			continue
		}
		e, err := url.QueryUnescape(e)
		if err != nil {
			return nil, badRequest("Invalid path")
		}
		path = append(path, e)
	}
	return path, nil
}

// A method is one way to use a resource.
type method struct {
	name string
	do   func(*call) error
}

// dispatch calls the method of the request. HEAD is GET without the body.
func (c *call) dispatch(methods ...method) error {
	name := c.r.Method
	if name == http.MethodHead {
		name = http.MethodGet
	}
	var allowed []string
	for _, m := range methods {
		if m.name == name {
			return m.do(c)
		}
		allowed = append(allowed, m.name)
		if m.name == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ",")
	c.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return &wireError{http.StatusMethodNotAllowed, "method_not_allowed", "Only " + list + " allowed"}
}

// route finds the resource of the path.
func (c *call) route() error {
	if len(c.path) == 0 {
		return c.dispatch(method{"GET", (*call).welcome})
	}
	if c.path[0] == "_node" {
		return c.nodeInfo()
	}
	if len(c.path) == 1 {
		switch c.path[0] {
		case "_active_tasks":
			return c.dispatch(method{"GET", (*call).activeTasks})
		case "_db_updates":
			return c.dispatch(method{"GET", (*call).dbUpdates})
		case "_dbs_info":
			return c.dispatch(method{"GET", (*call).databasesInfo}, method{"POST", (*call).chosenInfo})
		case "_membership":
			return c.dispatch(method{"GET", (*call).membership})
		case "_up":
			return c.dispatch(method{"GET", (*call).up})
		case "_uuids":
			return c.dispatch(method{"GET", (*call).uuids})
		case "_all_dbs":
			return c.dispatch(method{"GET", (*call).allDatabases})
		case "_replicate":
			return c.dispatch(method{"POST", (*call).replicate})
		case "_session":
			return c.dispatch(
				method{"GET", (*call).getSession}, method{"POST", (*call).postSession}, method{"DELETE", (*call).deleteSession})
		}
		if c.r.Method == http.MethodPut || c.r.Method == http.MethodDelete {
			return c.dispatch(method{"PUT", (*call).createDatabase}, method{"DELETE", (*call).dropDatabase})
		}
	}
	if c.path[0] == "_scheduler" {
		return c.dispatch(method{"GET", (*call).scheduler})
	}
	if c.fresh() || c.engine.set != nil && c.engine.set.Owes(store.CatalogueShard) { // Also who may do it: a security object may have been changed elsewhere.
		if err := c.engine.log.Barrier(c.ctx(), store.CatalogueShard); err != nil {
			return err
		}
	}
	if err := c.sure(store.CatalogueShard, c.openDatabase); err != nil {
		return err
	}
	return c.inDatabase()
}

// fresh reports whether the client wants nothing that is older than what was
// acknowledged anywhere before.
func (c *call) fresh() bool { return c.r.Header.Get("X-Leap-Fresh") != "" }

// inDatabase serves a request to a database.
func (c *call) inDatabase() error {
	if c.db.Whole() {
		do, err := c.spread()
		if err != nil {
			return err
		}
		if do != nil {
			return c.sureOfDatabase(do(c))
		}
	}
	if c.elsewhere() {
		return c.pass()
	}
	if c.fresh() {
		if err := c.engine.log.Barrier(c.ctx(), c.db.Shard); err != nil {
			return err
		}
	}
	db := c.db
	var err error
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		err = c.sureOfDatabase(c.sure(c.db.Shard, c.routeInDatabase))
	} else {
		err = c.routeInDatabase()
	}
	if e, known := asWire(err); err != nil && known && e.status == http.StatusNotFound && !c.sent && c.engine.set != nil && !c.engine.set.Ready(db.Shard) {
		return shard.Behind(db.Shard) // It was here when the request came, and has moved away since.
	}
	return err
}

// routeInDatabase finds the resource of a database that is here.
func (c *call) routeInDatabase() error {
	if err := c.checkDesigns(); err != nil {
		return err
	}
	if len(c.path) == 1 {
		return c.dispatch(
			method{"GET", (*call).databaseInfo}, method{"PUT", nil}, method{"POST", (*call).postDocument}, method{"DELETE", nil})
	}
	if strings.HasPrefix(c.path[1], "_") {
		if methods := resources[c.path[1]]; methods != nil && len(c.path) == 2 {
			return c.dispatch(methods...)
		}
		if len(c.path) == 3 {
			if methods := c.below(); methods != nil {
				return c.dispatch(methods...)
			}
		}
		if c.path[1] == "_index" {
			return c.dispatch(method{"DELETE", (*call).deleteIndex})
		}
	}
	return c.routeDocument()
}

// resources are those of a database.
var resources = map[string][]method{
	"_all_docs":           {{"GET", (*call).allDocs}, {"POST", (*call).allDocs}},
	"_bulk_docs":          {{"POST", (*call).bulkDocs}},
	"_bulk_get":           {{"POST", (*call).bulkGet}},
	"_changes":            {{"GET", (*call).changes}, {"POST", (*call).changes}},
	"_compact":            {{"POST", (*call).compactDatabase}},
	"_design_docs":        {{"GET", (*call).allDocs}, {"POST", (*call).allDocs}},
	"_ensure_full_commit": {{"POST", (*call).ensureFullCommit}},
	"_explain":            {{"POST", (*call).explain}},
	"_find":               {{"POST", (*call).find}},
	"_index":              {{"GET", (*call).indexes}, {"POST", (*call).createIndex}},
	"_local_docs":         {{"GET", (*call).allDocs}, {"POST", (*call).allDocs}},
	"_missing_revs":       {{"POST", (*call).missingRevs}},
	"_purge":              {{"POST", (*call).purge}},
	"_purged_infos_limit": {{"GET", (*call).getPurgedInfosLimit}, {"PUT", (*call).putPurgedInfosLimit}},
	"_revs_diff":          {{"POST", (*call).revsDiff}},
	"_revs_limit":         {{"GET", (*call).getRevsLimit}, {"PUT", (*call).putRevsLimit}},
	"_security":           {{"GET", (*call).getSecurity}, {"PUT", (*call).putSecurity}},
	"_shards":             {{"GET", (*call).databaseShards}},
	"_sync_shards":        {{"POST", (*call).syncShards}},
	"_view_cleanup":       {{"POST", (*call).viewCleanup}},
}

// below returns what is one step below a resource of a database; nil if
// nothing is.
func (c *call) below() []method {
	name := c.path[2]
	switch c.path[1] {
	case "_all_docs", "_design_docs", "_local_docs":
		if name == "queries" {
			return []method{{"POST", (*call).allDocsQueries}}
		}
	case "_compact":
		return []method{{"POST", func(c *call) error { return c.compactViews(name) }}}
	case "_index":
		if name == "_bulk_delete" {
			return []method{{"POST", (*call).deleteIndexes}}
		}
	case "_shards":
		return []method{{"GET", func(c *call) error { return c.documentShard(name) }}}
	}
	return nil
}

// routeDocument dispatches on documents, local documents and attachments.
func (c *call) routeDocument() error {
	id, rest := c.path[1], c.path[2:]
	if id == "_design" || id == "_local" {
		if len(rest) == 0 {
			return illegalID("Illegal document id `" + id + "/`")
		}
		id, rest = id+"/"+rest[0], rest[1:]
	}
	if err := checkID(id); err != nil {
		return err
	}
	if err := c.guardUsers(id); err != nil {
		return err
	}
	with := func(f func(*call, string) error) func(*call) error {
		return func(c *call) error { return f(c, id) }
	}
	switch {
	case strings.HasPrefix(id, "_local/"):
		if len(rest) > 0 {
			return errNoHandler
		}
		return c.dispatch(
			method{"GET", with((*call).getLocal)}, method{"PUT", with((*call).putLocal)},
			method{"DELETE", with((*call).deleteLocal)}, method{methodCopy, with((*call).copyLocal)})
	case len(rest) == 0:
		return c.dispatch(
			method{"GET", with((*call).getDocument)}, method{"PUT", with((*call).putDocument)},
			method{"DELETE", with((*call).deleteDocument)}, method{methodCopy, with((*call).copyDocument)})
	case strings.HasPrefix(id, "_design/") && strings.HasPrefix(rest[0], "_"):
		return c.routeDesign(id, rest)
	}
	name := strings.Join(rest, "/")
	return c.dispatch(
		method{"GET", func(c *call) error { return c.getAttachment(id, name) }},
		method{"PUT", func(c *call) error { return c.putAttachment(id, name) }},
		method{"DELETE", func(c *call) error { return c.deleteAttachment(id, name) }})
}

// checkID returns why id is none of a document.
func checkID(id string) error {
	switch {
	case id == "":
		return illegalID("Document id must not be empty")
	case len(id) > maxID:
		return illegalID("Document id is too long")
	case !utf8.ValidString(id):
		return illegalID("Document id must be valid UTF-8")
	case id[0] == '_' && !(strings.HasPrefix(id, "_design/") || strings.HasPrefix(id, "_local/")) || id == "_design/" || id == "_local/":
		return illegalID("Only reserved document ids may start with underscore.")
	}
	return nil
}

// maxID is the longest id of a document, in bytes.
const maxID = 16 << 10
