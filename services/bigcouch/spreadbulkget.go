package bigcouch

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"

	"leap.example/services/bigcouch/spread"
)

// spreadBulkGet serves many revisions of many documents, in the order in which
// they are asked for.
func (c *call) spreadBulkGet() error {
	var body struct {
		Docs []json.RawMessage `json:"docs"`
	}
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.Docs == nil {
		return badRequest("Missing JSON list of 'docs'.")
	}
	if len(body.Docs) > maxBulk {
		return &wireError{http.StatusRequestEntityTooLarge, "max_bulk_get_count_exceeded", strconv.Itoa(maxBulk)}
	}
	list := make([][]byte, len(body.Docs))
	part := make([]int, len(list))
	for i, data := range body.Docs {
		var want wanted
		_ = json.Unmarshal(data, &want) // What is malformed is said by the part that is asked.
		if list[i] = data; want.ID != nil {
			part[i] = spread.Of(*want.ID, c.parts())
		}
	}
	if !c.accepts(typeJSON) && (c.accepts(typeMixed) || c.accepts(typeRelated)) {
		return c.spreadBulkParts(list, part)
	}
	chosen := map[int][][]byte{}
	for i, data := range list {
		chosen[part[i]] = append(chosen[part[i]], data)
	}
	if len(list) == 0 {
		chosen[0] = [][]byte{} // It checks the query.
	}
	demands := map[int]demand{}
	for i, elements := range chosen {
		demands[i] = c.bulkGetDemand(elements)
	}
	all, end, err := c.openAll("results", demands)
	if err != nil {
		return err
	}
	defer end()
	rows := map[int]*partRows{}
	for _, r := range all {
		rows[r.part] = r
	}
	w := c.begin(typeJSON)
	w.WriteString(`{"results":[`)
	for i := range list {
		row, err := rows[part[i]].next()
		if err == nil && row == nil {
			err = spread.ErrAnswer
		}
		if err != nil {
			return err
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.Write(row)
	}
	w.WriteString("]}\n")
	return c.end()
}

func (c *call) bulkGetDemand(elements [][]byte) demand {
	body := append(append([]byte(`{"docs":`), joined(elements)...), '}')
	return demand{method: http.MethodPost, path: []string{"_bulk_get"}, query: c.query, body: body}
}

// spreadBulkParts answers with a part of a multipart body for each revision. It
// asks for one document at a time: how many revisions there are of one shows
// only when they have come.
func (c *call) spreadBulkParts(list [][]byte, part []int) error {
	media := typeMixed
	if !c.accepts(typeMixed) {
		media = typeRelated
	}
	w := c.beginParts(media)
	for i, data := range list {
		d := c.bulkGetDemand([][]byte{data})
		d.accept = media
		if err := c.copyParts(w, part[i], d); err != nil {
			return err
		}
	}
	return c.endParts(w)
}

// copyParts copies the parts of a multipart answer.
func (c *call) copyParts(w *multipart.Writer, part int, d demand) error {
	resp, err := c.demand(c.ctx(), part, d)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return failure(resp)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return partLost(err)
	}
	for r := multipart.NewReader(resp.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return partLost(err)
		}
		out, err := w.CreatePart(p.Header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, p); err != nil {
			return partLost(err)
		}
	}
}
