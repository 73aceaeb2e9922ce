package bigcouch

import (
	"bytes"
	"net/http"
	"net/url"

	"leap.example/services/bigcouch/spread"
)

// spreadCopy copies a document. Within a part that is the part's; between two
// the document goes through here, with its attachments, and may be as large as a
// request.
func (c *call) spreadCopy(id string) error {
	target, rev, err := c.destination()
	if err != nil {
		return err
	}
	from, to := spread.Of(id, c.parts()), spread.Of(target, c.parts())
	if from == to && !isDesign(target) {
		if err := c.choosePart(from); err != nil {
			return err
		}
		return c.inDatabase()
	}
	source, err := c.expected("")
	if err != nil {
		return err
	}
	query := url.Values{"attachments": {"true"}}
	if source != "" {
		query.Set("rev", source)
	}
	_, data, err := c.hear(c.ctx(), from, demand{method: http.MethodGet, path: documentPath(id), query: query, most: c.cfg.MaxRequestSize})
	if err != nil {
		return err
	}
	if data, err = contentOf(data); err != nil {
		return err
	}
	put := demand{method: http.MethodPut, path: documentPath(target), body: data, query: url.Values{}}
	if rev != "" {
		put.query.Set("rev", rev)
	}
	at := "/" + url.PathEscape(c.db.Name) + "/" + url.PathEscape(target)
	if isDesign(target) {
		return c.writeDesign(put, at)
	}
	resp, err := c.demand(c.ctx(), to, put)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.relay(resp, at)
}

// contentOf returns a document, as a part has written it, without what only this
// one has.
func contentOf(data []byte) ([]byte, error) {
	if data = bytes.TrimSpace(data); len(data) < 2 || data[0] != '{' {
		return nil, partLost(spread.ErrAnswer)
	}
	return filtered(data, func(name string, value []byte) ([]byte, error) {
		switch name {
		case "_id", "_rev", "_deleted":
			return nil, nil
		case "_attachments":
			return filtered(value, func(_ string, att []byte) ([]byte, error) {
				return filtered(att, func(name string, value []byte) ([]byte, error) {
					if name == "revpos" || name == "digest" {
						return nil, nil
					}
					return value, nil
				})
			})
		}
		return value, nil
	})
}

// filtered returns an object in compact JSON with what keep makes of its members;
// nil takes one out.
func filtered(obj []byte, keep func(name string, value []byte) ([]byte, error)) ([]byte, error) {
	out := []byte{'{'}
	err := members(obj, func(name string, value []byte) error {
		kept, err := keep(name, value)
		if err != nil || kept == nil {
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendJSON(out, name), ':'), kept...)
		return nil
	})
	return append(out, '}'), err
}
