package bigcouch_test

import (
	"strings"
	"testing"
)

// A filter function of the source says what comes; another function begins
// anew, since the old checkpoint means nothing to it.
func TestReplicateFiltered(t *testing.T) {
	t.Parallel()
	a, b := start(t, t.TempDir()), start(t, t.TempDir())
	a.admin(201, "PUT", "/db", "")
	for id, doc := range map[string]string{"one": `{"n":1}`, "two": `{"n":2}`, "three": `{"n":3}`} {
		a.admin(201, "PUT", "/db/"+id, doc)
	}
	rev := a.admin(201, "PUT", "/db/_design/d", `{"filters":{"f":"function(doc, req) { return doc.n == req.query.n }"}}`).rev(t)
	ask := body{"source": a.at("db"), "target": "copy", "create_target": true, "filter": "d/f", "query_params": body{"n": 2}}
	b.replicate(200, ask)
	if got := b.tree("copy"); strings.Contains(got, "\n") || !strings.HasPrefix(got, "two ") {
		t.Errorf("filtered: %s", got)
	}
	a.admin(201, "PUT", "/db/_design/d", `{"_rev":"`+rev+`","filters":{"f":"function(doc, req) { return doc.n >= req.query.n }"}}`)
	b.replicate(200, ask)
	if got := b.count("copy"); got != 2 {
		t.Errorf("by another filter: %d documents", got)
	}
	// What a target's validate_doc_update refuses stays away, and is counted.
	b.admin(201, "PUT", "/strict", "")
	b.admin(201, "PUT", "/strict/_design/v", `{"validate_doc_update":"function(doc) { if (doc.n == 3) throw({forbidden: 'no'}) }"}`)
	r := b.replicate(200, body{"source": a.at("db"), "target": "strict"})
	if r.History[0].Failures != 1 || b.do("admin", "GET", "/strict/three", "").status != 404 || !b.has("/strict/two")() {
		t.Errorf("refused by a function: %+v", r)
	}
}
