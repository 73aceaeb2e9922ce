package bigcouch

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/store"
)

// maxBulk is how many documents or revisions one request may name.
const maxBulk = 100_000

// bulkResult is one element of the answer to _bulk_docs.
type bulkResult struct {
	OK     bool   `json:"ok,omitempty"`
	ID     string `json:"id"`
	Rev    string `json:"rev,omitempty"`
	Error  string `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// A bulk is the body of _bulk_docs. It is taken apart by hand: it is JSON
// already, and large.
type bulk struct {
	docs         [][]byte // Nil: not an array.
	given        bool     // There are docs.
	edits        bool
	allOrNothing bool
}

// parseBulk reads an object of compact, valid JSON.
func parseBulk(data []byte) (bulk, error) {
	b := bulk{edits: true}
	err := members(data, func(key string, value []byte) error {
		switch key {
		case "docs":
			b.given, b.docs = true, elements(value)
		case "new_edits":
			if json.Unmarshal(value, &b.edits) != nil {
				return badRequest("`new_edits` parameter must be a boolean.")
			}
		case "all_or_nothing":
			if json.Unmarshal(value, &b.allOrNothing) != nil {
				return badRequest("Request body has a member of the wrong type")
			}
		}
		return nil
	})
	return b, err
}

// elements returns the elements of an array of compact, valid JSON; nil if it
// is something else.
func elements(data []byte) [][]byte {
	if data[0] != '[' {
		return nil
	}
	list := [][]byte{}
	for i := 1; i < len(data)-1; {
		n := valueEnd(data[i:])
		list = append(list, data[i:i+n])
		i += n + 1
	}
	return list
}

// readBulk reads the body of _bulk_docs and its documents.
func (c *call) readBulk() (body bulk, parsed []*document, err error) {
	data, err := c.postJSON()
	if err != nil {
		return body, nil, err
	}
	if data[0] != '{' {
		return body, nil, errNotObject
	}
	if body, err = parseBulk(data); err != nil {
		return body, nil, err
	}
	if !body.given {
		return body, nil, badRequest("POST body must include `docs` parameter.")
	}
	list := body.docs
	if list == nil {
		return body, nil, badRequest("`docs` parameter must be an array.")
	}
	if body.allOrNothing {
		return body, nil, &wireError{http.StatusExpectationFailed, "not_implemented", "all_or_nothing is not supported"}
	}
	if len(list) > maxBulk {
		return body, nil, &wireError{http.StatusRequestEntityTooLarge, "max_bulk_docs_count_exceeded", strconv.Itoa(maxBulk)}
	}
	parsed = make([]*document, len(list))
	for i, data := range list {
		if parsed[i], err = parseDocument(data); err != nil {
			return body, nil, err
		}
		if parsed[i].id == "" {
			if parsed[i].id, err = c.madeID(i); err != nil {
				return body, nil, err
			}
			body.docs[i] = withID(data, parsed[i].id)
		}
	}
	return body, parsed, nil
}

// withID returns a document in compact JSON with a member _id, which it lacks.
func withID(data []byte, id string) []byte {
	b := append(appendJSON([]byte(`{"_id":`), id), ',')
	if len(data) == 2 {
		b = b[:len(b)-1]
	}
	return append(b, data[1:]...)
}

func (c *call) bulkDocs() error {
	body, parsed, err := c.readBulk()
	if err != nil {
		return err
	}
	replicated := !body.edits
	grows := func(d *document) bool { return !removes(d.deleted, len(d.body), len(d.atts)) }
	if err := c.writable(); err != nil && slices.ContainsFunc(parsed, grows) {
		return err
	}
	results := make([]bulkResult, len(parsed))
	var drafts []draft
	var at []int // Where the result of each of drafts goes.
	for i, d := range parsed {
		if strings.HasPrefix(d.id, localPrefix) {
			rev, err := c.writeLocal(d.id, d)
			if results[i], err = resultOf(d.id, rev, err); err != nil {
				return err
			}
			continue
		}
		doc, err := c.prepare(d, replicated)
		e, known := asWire(err)
		if err != nil && (!known || e.status == http.StatusBadRequest) {
			return errors.Join(err, c.abandonDrafts(drafts))
		}
		if err != nil {
			doc = store.Doc{ID: d.id, Refused: &store.Refusal{Name: e.name, Reason: e.reason}}
		}
		drafts, at = append(drafts, draft{doc, len(body.docs[i])}), append(at, i)
	}
	written, err := c.write(drafts, replicated)
	if err != nil {
		return err
	}
	for i, r := range written {
		var refused error
		if r.Err != nil {
			refused = r.Err
		}
		results[at[i]], _ = resultOf(r.ID, r.Rev.String(), refused) // A refusal is a result.
	}
	if replicated && c.db.Part == 0 { // Else all results are put together first.
		results = failures(results)
	}
	c.reply(http.StatusCreated, results)
	return nil
}

// resultOf turns what the client may know of err into a result.
func resultOf(id, rev string, err error) (bulkResult, error) {
	if err == nil {
		return bulkResult{OK: true, ID: id, Rev: rev}, nil
	}
	e, ok := asWire(err)
	if !ok {
		return bulkResult{}, err
	}
	return bulkResult{ID: id, Error: e.name, Reason: e.reason}, nil
}

// failures returns the results that are errors: all that new_edits=false shows.
func failures(results []bulkResult) []bulkResult {
	failed := []bulkResult{}
	for _, r := range results {
		if !r.OK {
			failed = append(failed, r)
		}
	}
	return failed
}
