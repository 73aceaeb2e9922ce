package bigcouch

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/spread"
)

// spreadPost writes a document whose id is in the body, or is made here.
func (c *call) spreadPost() error {
	data, err := c.postJSON()
	if err != nil {
		return err
	}
	doc, err := parseDocument(data)
	if err != nil {
		return err
	}
	if doc.id == "" {
		if doc.id, err = c.madeID(0); err != nil {
			return err
		}
		data = withID(data, doc.id)
	}
	if isDesign(doc.id) {
		return c.writeDesign(demand{method: http.MethodPost, query: c.query, body: data}, "")
	}
	resp, err := c.demand(c.ctx(), spread.Of(doc.id, c.parts()), demand{method: http.MethodPost, query: c.query, body: data})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.relay(resp, "")
}

// A share is what of a list concerns one part.
type share struct {
	elements [][]byte
	at       []int // Their places in the list.
}

// shares takes a list apart by the ids of its elements.
func (c *call) shares(list [][]byte, id func(i int) string) map[int]*share {
	all := map[int]*share{}
	for i, data := range list {
		part := spread.Of(id(i), c.parts())
		if all[part] == nil {
			all[part] = &share{}
		}
		all[part].elements, all[part].at = append(all[part].elements, data), append(all[part].at, i)
	}
	return all
}

// joined returns a JSON list.
func joined(elements [][]byte) []byte {
	b := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, ']')
}

// spreadBulk writes many documents. A list is one operation in each part.
func (c *call) spreadBulk() error {
	body, parsed, err := c.readBulk()
	if err != nil {
		return err
	}
	designs := false
	for _, d := range parsed {
		if err := d.check(!body.edits); err != nil {
			return err
		}
		designs = designs || isDesign(d.id)
	}
	shares := c.shares(body.docs, func(i int) string { return parsed[i].id })
	demands := map[int]demand{}
	for part, s := range shares {
		b := append([]byte(`{"new_edits":`+strconv.FormatBool(body.edits)+`,"docs":`), joined(s.elements)...)
		demands[part] = demand{method: http.MethodPost, path: []string{"_bulk_docs"}, query: c.query, body: append(b, '}')}
	}
	answers, err := c.hearAll(demands)
	if designs { // Also when a part has failed: that of design documents may not have.
		if e := c.settleDesigns(); err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	results := make([]bulkResult, len(parsed))
	for part, s := range shares {
		var list []bulkResult
		if err := json.Unmarshal(answers[part], &list); err != nil {
			return partLost(err)
		}
		for _, i := range s.at {
			if len(list) == 0 {
				return partLost(spread.ErrAnswer)
			}
			results[i], list = list[0], list[1:]
		}
	}
	if !body.edits {
		results = failures(results)
	}
	c.reply(http.StatusCreated, results)
	return nil
}

// check finds, before any part has written anything, what fails a whole list.
func (d *document) check(replicated bool) (err error) {
	if strings.HasPrefix(d.id, localPrefix) {
		return nil
	}
	if replicated {
		_, err = d.path()
	} else if d.rev != "" {
		_, err = parseRev(d.rev)
	}
	for i := range d.atts {
		if a := &d.atts[i]; err == nil && !a.Stub {
			err = a.check()
		}
	}
	return err
}

// check is what takeIn says of an attachment that is no stub.
func (a *inline) check() error {
	if a.Follows || a.Data == nil {
		return badRequest("Attachment %q follows nowhere", a.name)
	}
	if _, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, strings.NewReader(*a.Data))); err != nil {
		return badRequest("Attachment data of %q is not base64", a.name)
	}
	return nil
}

// unbounded is no bound but that of the body.
const unbounded = math.MaxInt

// spreadRevsDiff and spreadMissingRevs ask each part for the documents that are
// its.
func (c *call) spreadRevsDiff() error {
	gaps, err := c.byDocument("_revs_diff", unbounded, unbounded, func(data []byte, all map[string]json.RawMessage) error { return json.Unmarshal(data, &all) })
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, gaps)
	return nil
}

func (c *call) spreadMissingRevs() error {
	missing, err := c.byDocument("_missing_revs", unbounded, unbounded, func(data []byte, all map[string]json.RawMessage) error {
		body := struct {
			Missing map[string]json.RawMessage `json:"missing_revs"`
		}{all}
		return json.Unmarshal(data, &body)
	})
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, map[string]any{"missing_revs": missing})
	return nil
}

// byDocument takes a body whose members are named after documents apart, and
// puts the answers of the parts together, of which take reads each. So many
// documents and revisions may be named.
func (c *call) byDocument(name string, maxDocs, maxRevs int, take func(data []byte, all map[string]json.RawMessage) error) (map[string]json.RawMessage, error) {
	var body map[string]json.RawMessage
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if len(body) > maxDocs {
		return nil, badRequest("Exceeded maximum number of documents.")
	}
	revs := 0
	parts := map[int]map[string]json.RawMessage{}
	for id, value := range body {
		list := []string(nil)
		if json.Unmarshal(value, &list) != nil {
			return nil, badRequest("Request body has a member of the wrong type")
		}
		if _, err := parseRevs(list); err != nil {
			return nil, err
		}
		revs += len(list)
		i := spread.Of(id, c.parts())
		if parts[i] == nil {
			parts[i] = map[string]json.RawMessage{}
		}
		parts[i][id] = value
	}
	if revs > maxRevs {
		return nil, badRequest("Exceeded maximum number of revisions.")
	}
	demands := map[int]demand{}
	for i, members := range parts {
		data, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		demands[i] = demand{method: http.MethodPost, path: []string{name}, body: data}
	}
	answers, err := c.hearAll(demands)
	if err != nil {
		return nil, err
	}
	all := map[string]json.RawMessage{}
	for _, data := range answers {
		if err := take(data, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// spreadPurge purges in each part the documents that are its. Copies of design
// documents follow.
func (c *call) spreadPurge() error {
	if err := c.wantAdmin(); err != nil {
		return err
	}
	designs := false
	purged, err := c.byDocument("_purge", maxPurgeDocs, maxPurgeRevs, func(data []byte, all map[string]json.RawMessage) error {
		body := struct {
			Purged map[string]json.RawMessage `json:"purged"`
		}{all}
		return json.Unmarshal(data, &body)
	})
	for id := range purged {
		designs = designs || isDesign(id)
	}
	if err == nil && designs {
		err = c.settleDesigns()
	}
	if err != nil {
		return err
	}
	c.reply(http.StatusCreated, map[string]any{"purge_seq": nil, "purged": purged})
	return nil
}
