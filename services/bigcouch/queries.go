package bigcouch

import (
	"encoding/json"
	"maps"
	"net/url"
)

// maxQueries is how many queries one request may make.
const maxQueries = 1000

// A queryCall is a request with the parameters of one of its queries.
type queryCall struct {
	*call
	keys []json.RawMessage
}

// bodyQueries reads a body of several queries.
func (c *call) bodyQueries() ([]queryCall, error) {
	var body struct {
		Queries []map[string]json.RawMessage `json:"queries"`
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Queries == nil {
		return nil, badRequest("POST body must include `queries` parameter.")
	}
	if len(body.Queries) > maxQueries {
		return nil, tooLarge("more than 1000 queries")
	}
	queries := make([]queryCall, len(body.Queries))
	for i, members := range body.Queries {
		one := *c
		one.query = url.Values{}
		maps.Copy(one.query, c.query)
		keys, err := one.takeParameters(members)
		if err != nil {
			return nil, err
		}
		one.unquote(members)
		queries[i] = queryCall{&one, keys}
	}
	return queries, nil
}
