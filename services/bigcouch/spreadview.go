package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/bigcouch/store"
)

// spreadView answers one query of a view.
func (c *call) spreadView(id, name string) error {
	keys, err := c.viewParameters()
	if err != nil {
		return err
	}
	return c.withView(id, name, func(f *mapReduce, sum string, fresh bool) error {
		q, err := c.viewQuery(f, slices.Clone(keys))
		if err != nil {
			return err
		}
		c.begin(typeJSON)
		if err := (&viewSpread{call: c, q: q, given: keys, sum: sum, fresh: fresh}).write(); err != nil {
			return err
		}
		c.out.WriteByte('\n')
		return c.end()
	})
}

// spreadViewQueries answers several queries one after the other.
func (c *call) spreadViewQueries(id, name string) error {
	list, err := c.bodyQueries()
	if err != nil {
		return err
	}
	return c.withView(id, name, func(f *mapReduce, sum string, fresh bool) error {
		queries := make([]*viewSpread, len(list))
		for i, one := range list {
			q, err := one.viewQuery(f, slices.Clone(one.keys))
			if err != nil {
				return err
			}
			queries[i] = &viewSpread{call: one.call, q: q, given: one.keys, sum: sum, fresh: fresh}
		}
		c.begin(typeJSON)
		c.out.WriteString(`{"results":[`)
		for i, q := range queries {
			if i > 0 {
				c.out.WriteByte(',')
			}
			c.out.WriteByte('\n')
			q.out = c.out
			if err := q.write(); err != nil {
				if c.sent {
					err = partLost(err)
				}
				return err
			}
		}
		c.out.WriteString("\n]}\n")
		return c.end()
	})
}

// withView calls f with a view as part 0 has it.
func (c *call) withView(id, name string, f func(f *mapReduce, sum string, fresh bool) error) error {
	return c.withDesigns(func(sum string, fresh bool) error {
		_, data, err := c.hear(c.ctx(), 0, demand{method: http.MethodGet, path: documentPath(id), fresh: fresh})
		if err != nil {
			return err
		}
		var doc struct {
			Rev string `json:"_rev"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return partLost(err)
		}
		rev, err := store.ParseRev(doc.Rev)
		if err != nil {
			return partLost(err)
		}
		d, err := c.functionsOf(designKey{c.db.Shard, c.db.ID, id, rev}, func() ([]byte, error) { return data, nil })
		if err != nil {
			return err
		}
		view, err := d.view(name)
		if err != nil {
			return err
		}
		return f(view, sum, fresh)
	})
}

// spreadDesignInfo puts together what the parts say of the views of a design
// document.
func (c *call) spreadDesignInfo(id string) error {
	return c.withDesigns(func(sum string, fresh bool) error {
		path := append(documentPath(id), "_info")
		answers, err := c.hearAll(c.everyPart(demand{method: http.MethodGet, path: path, designs: sum, fresh: fresh}))
		if err != nil {
			return err
		}
		var all designState
		for i := range c.parts() {
			var one designState
			if err := json.Unmarshal(answers[i], &one); err != nil {
				return partLost(err)
			}
			if i == 0 {
				all = one
			} else {
				all.Index.add(one.Index)
			}
		}
		c.reply(http.StatusOK, all)
		return nil
	})
}

// documentPath returns the elements of the path of a document.
func documentPath(id string) []string {
	for _, space := range []string{store.DesignPrefix, localPrefix} {
		if name, ok := strings.CutPrefix(id, space); ok {
			return []string{strings.TrimSuffix(space, "/"), name}
		}
	}
	return []string{id}
}
