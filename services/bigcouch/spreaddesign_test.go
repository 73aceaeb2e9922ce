package bigcouch

import (
	"fmt"
	"net/http"
	"testing"
)

// A client repeats what it was told to repeat, and hears of a conflict with
// itself: what it wrote decides in all parts from then on.
func TestSpreadDesignAgain(t *testing.T) {
	n := running(t)
	log := &failing{Log: n.engine.log}
	n.engine.log = log
	log.left.Store(1 << 40)
	expect := func(want int, method, target, body string) {
		t.Helper()
		if got, answer := n.ask(method, target, body); got != want {
			t.Errorf("%s %s: %d %s, want %d", method, target, got, answer, want)
		}
	}
	const design = `{"validate_doc_update":"function (doc) { throw({forbidden: 'no'}) }"}`
	expect(http.StatusCreated, "PUT", "/db?q=3", "")
	log.left.Store(1) // Part 0 has it, no other part.
	expect(http.StatusServiceUnavailable, "PUT", "/db/_design/d", design)
	log.left.Store(1 << 40)
	expect(http.StatusConflict, "PUT", "/db/_design/d", design)
	for i := range 16 {
		expect(http.StatusForbidden, "PUT", fmt.Sprintf("/db/doc%d", i), `{}`)
	}
}

// A leaf of a design document that is purged is purged in all parts.
func TestSpreadDesignPurge(t *testing.T) {
	n := running(t)
	expect := func(want int, method, target, body string) {
		t.Helper()
		if got, answer := n.ask(method, target, body); got != want {
			t.Errorf("%s %s: %d %s, want %d", method, target, got, answer, want)
		}
	}
	expect(http.StatusCreated, "PUT", "/db?q=3", "")
	for i := range 12 {
		expect(http.StatusCreated, "PUT", fmt.Sprintf("/db/doc%d", i), `{"n":1}`)
	}
	for _, rev := range []string{"1-aa", "1-bb"} {
		expect(http.StatusCreated, "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"_design/v","_rev":"`+rev+`","views":{"v":{"map":"function (doc) { emit(doc.n, '`+rev+`') }"}}}]}`)
	}
	for _, rev := range []string{"1-bb", "1-aa"} {
		expect(http.StatusOK, "GET", "/db/_design/v/_view/v", "")
		expect(http.StatusCreated, "POST", "/db/_purge", `{"_design/v":["`+rev+`"]}`)
	}
	expect(http.StatusNotFound, "GET", "/db/_design/v/_view/v", "")
	expect(http.StatusOK, "POST", "/db/_find", `{"selector":{"n":1}}`)
}
