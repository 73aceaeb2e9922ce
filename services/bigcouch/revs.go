package bigcouch

import (
	"net/http"

	"leap.example/services/bigcouch/store"
)

// A revsGap is what is not here of the revisions that a client has.
type revsGap struct {
	Missing   []string `json:"missing"`
	Ancestors []string `json:"possible_ancestors,omitempty"`
}

// revsGaps reads lists of revisions by document and finds those that are not
// here.
func (c *call) revsGaps() (map[string]revsGap, error) {
	var body map[string][]string
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	v := c.view()
	defer v.Close()
	gaps := map[string]revsGap{}
	for id, names := range body {
		revs, err := parseRevs(names)
		if err != nil {
			return nil, err
		}
		d, err := v.Document(c.db, id)
		if err != nil {
			return nil, err
		}
		var tree store.Tree
		if d != nil {
			if tree, err = d.Tree(); err != nil {
				return nil, err
			}
		}
		if gap := gapOf(tree, revs); gap.Missing != nil {
			gaps[id] = gap
		}
	}
	return gaps, nil
}

func gapOf(tree store.Tree, revs []store.Rev) (gap revsGap) {
	highest := 0
	for _, r := range revs {
		if _, known := tree.Node(r); !known {
			gap.Missing = append(gap.Missing, r.String())
			highest = max(highest, r.Gen)
		}
	}
	for _, n := range tree.Leaves() {
		if n.Rev.Gen < highest {
			gap.Ancestors = append(gap.Ancestors, n.Rev.String())
		}
	}
	return gap
}

// revsDiff says which revisions are not here.
func (c *call) revsDiff() error {
	gaps, err := c.revsGaps()
	if err != nil {
		return err
	}
	c.reply(http.StatusOK, gaps)
	return nil
}

// missingRevs says the same in an older form.
func (c *call) missingRevs() error {
	gaps, err := c.revsGaps()
	if err != nil {
		return err
	}
	missing := map[string][]string{}
	for id, gap := range gaps {
		missing[id] = gap.Missing
	}
	c.reply(http.StatusOK, map[string]any{"missing_revs": missing})
	return nil
}
