package bigcouch

import (
	"encoding/json"
	"strconv"

	"leap.example/services/bigcouch/store"
)

// parseNumber reads a number that is not negative.
func parseNumber(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, queryError("Invalid value for integer: %q", s)
	}
	if n < 0 {
		return 0, queryError("Invalid value for positive integer: %q", s)
	}
	return int(n), nil
}

// An idRange says which ids are asked for, in the order of their bytes.
type idRange struct {
	store.Span
	limit int // Negative: none.
	skip  int
	part  bool // Not everything.
}

// holds reports whether id is in the range.
func (r idRange) holds(id string) bool {
	return id >= string(r.Start) && (r.End == nil || id < string(r.End))
}

// idRange reads the parameters that _all_docs and _all_dbs have in common.
func (c *call) idRange() (r idRange, err error) {
	if r.limit, err = c.number("limit", -1); err != nil {
		return r, err
	}
	if r.skip, err = c.number("skip", 0); err != nil {
		return r, err
	}
	if r.Descending, err = c.flag("descending"); err != nil {
		return r, err
	}
	exclusive := c.query.Get("inclusive_end") == "false"
	if key := c.query.Get("key"); key != "" {
		r.part = true
		return r, r.bound(key, key, false)
	}
	start, end := c.either("start_key", "startkey"), c.either("end_key", "endkey")
	r.part = start != "" || end != ""
	return r, r.bound(start, end, exclusive)
}

// either returns the parameter that goes by two names.
func (c *call) either(a, b string) string {
	if c.query.Has(a) {
		return c.query.Get(a)
	}
	return c.query.Get(b)
}

// bound sets the range from the first to the last key, JSON each or empty.
func (r *idRange) bound(first, last string, exclusive bool) error {
	low, high := first, last
	if r.Descending {
		low, high = last, first
	}
	if low != "" {
		id, place, err := keyOf(low)
		if err != nil {
			return err
		}
		switch {
		case place > 0:
			r.Start = []byte{0xff} // Behind every id.
		case place == 0 && r.Descending && exclusive:
			r.Start = append([]byte(id), 0)
		case place == 0:
			r.Start = []byte(id)
		}
	}
	if high != "" {
		id, place, err := keyOf(high)
		if err != nil {
			return err
		}
		switch {
		case place < 0:
			r.End = []byte{0} // Before every id.
		case place == 0 && !r.Descending && exclusive:
			r.End = []byte(id)
		case place == 0:
			r.End = append([]byte(id), 0)
		}
	}
	return nil
}

// keyOf reads a key, and says whether it sorts before (-1) or behind (1) all
// strings.
func keyOf(s string) (id string, place int, err error) {
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return "", 0, errBadJSON
	}
	switch v := v.(type) {
	case string:
		return v, 0, nil
	case []any, map[string]any:
		return "", 1, nil
	}
	return "", -1, nil
}
