package bigcouch

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"leap.example/services/bigcouch/spread"
)

// A spreadFeed is a request for the changes of all parts. Its sequences say how
// far each part has been read, so that a follower who comes back skips nothing,
// whatever the order in which the parts were.
type spreadFeed struct {
	*feed
	marks spread.Vector
	query url.Values // For parts.
	body  []byte
	sum   string // Of the design documents that the filter needs; "": it needs none.
	fresh bool
}

// spreadChanges serves _changes.
func (c *call) spreadChanges() error {
	one, err := c.newFeed()
	if err != nil {
		return err
	}
	f := &spreadFeed{feed: one}
	f.query = without(c.query, "feed", "since", "last-event-id", "limit", "timeout", "heartbeat", "seq_interval")
	if c.r.Method == http.MethodPost {
		if err := c.wantJSON(); err != nil {
			return err
		}
		if f.body, err = c.readBody(); err != nil {
			return err
		}
	}
	follow := func() error {
		if err := f.startAt(f.sinceParameter()); err != nil {
			return err
		}
		switch f.kind {
		case "continuous", "eventsource":
			return f.spreadContinuous()
		case "longpoll":
			return f.spreadLongpoll()
		}
		return f.spreadNormal()
	}
	switch name := c.query.Get("filter"); name {
	case "", "_doc_ids", "_selector", "_design":
		return follow()
	}
	return c.withDesigns(func(sum string, fresh bool) error {
		f.sum, f.fresh = sum, fresh
		return follow()
	})
}

// startAt reads since. That parts are asked for no rows has them check the request
// before the answer of a live feed begins.
func (f *spreadFeed) startAt(since string) (err error) {
	now := false
	switch since = strings.Trim(since, `"`); since {
	case "", "0":
		f.marks = make(spread.Vector, f.parts())
	case "now":
		f.marks, now = make(spread.Vector, f.parts()), true
	default:
		if f.marks, err = spread.Parse(since, f.db.ID, f.parts()); err != nil {
			return errSince
		}
	}
	demands := map[int]demand{}
	for i, m := range f.marks {
		demands[i] = f.changesOf(m, 0)
		if now {
			demands[i].query.Set("since", "now")
		}
	}
	if !now && f.kind == "normal" {
		return nil // Nothing is sent before the first part has answered.
	}
	answers, err := f.hearAll(demands)
	if err != nil || !now {
		return err
	}
	for i := range f.marks {
		var tail struct {
			Last string `json:"last_seq"`
		}
		if err := json.Unmarshal(answers[i], &tail); err != nil {
			return err
		}
		if f.marks[i], err = markOf(tail.Last); err != nil {
			return err
		}
	}
	return nil
}

// changesOf asks a part for changes behind a mark.
func (f *spreadFeed) changesOf(m spread.Mark, limit int) demand {
	query := without(f.query)
	query.Set("since", sinceMark(f.db.ID, m))
	if limit >= 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	d := demand{method: f.r.Method, path: []string{"_changes"}, query: query, body: f.body, designs: f.sum, fresh: f.fresh}
	if f.r.Method != http.MethodPost {
		d.method = http.MethodGet
	}
	return d
}

// spreadNormal answers with what there is.
func (f *spreadFeed) spreadNormal() error {
	f.open()
	pending, err := f.lookAll()
	if err != nil {
		return err
	}
	return f.closeSpread(pending)
}

func (f *spreadFeed) closeSpread(pending int) error {
	return f.finish(strconv.Quote(f.marks.Encode(f.db.ID)), strconv.Itoa(pending))
}

// lookAll writes the rows that there are now, part after part, up to the limit,
// and returns how many lie behind it.
func (f *spreadFeed) lookAll() (pending int, err error) {
	start := append(spread.Vector(nil), f.marks...)
	for i := range f.marks {
		if f.descending {
			i = len(f.marks) - 1 - i
			copy(f.marks, start) // What comes before a row that comes last is not said.
		}
		n, err := f.lookAt(i)
		if err != nil {
			return 0, err
		}
		pending += n
	}
	return pending, nil
}

// lookAt writes the rows of one part.
func (f *spreadFeed) lookAt(i int) (pending int, err error) {
	rows, err := f.openChanges(i)
	if err != nil {
		return 0, err
	}
	defer rows.body.Close()
	for {
		row, err := rows.next()
		if err != nil {
			return 0, err
		}
		if row == nil {
			break
		}
		if err := f.rowOf(i, row); err != nil {
			return 0, err
		}
	}
	if err := f.endOf(i, rows); err != nil {
		return 0, err
	}
	if raw := rows.Members["pending"]; raw != nil {
		err = json.Unmarshal(raw, &pending)
	}
	return pending, err
}

func (f *spreadFeed) openChanges(i int) (*partRows, error) {
	return f.feed.call.open(f.ctx(), i, "results", f.changesOf(f.marks[i], f.limit))
}

// endOf takes last_seq of a part.
func (f *spreadFeed) endOf(i int, rows *partRows) error {
	if f.descending && f.rows > 0 {
		return nil
	}
	var last string
	if err := json.Unmarshal(rows.Members["last_seq"], &last); err != nil {
		return partLost(err)
	}
	m, err := markOf(last)
	if err == nil {
		f.marks[i] = m
	}
	return err
}

// rowOf writes a row of part i with a sequence of the whole.
func (f *spreadFeed) rowOf(i int, row []byte) error {
	const before = `{"seq":`
	if !strings.HasPrefix(string(row[:min(len(row), len(before))]), before) {
		return partLost(spread.ErrAnswer)
	}
	rest := row[len(before):]
	n := valueEnd(rest)
	seq, err := unquote(rest[:n])
	if err != nil {
		return err
	}
	if f.marks[i], err = markOf(seq); err != nil {
		return err
	}
	f.beginRow()
	f.limit--
	all := strconv.Quote(f.marks.Encode(f.db.ID))
	if f.rows%f.interval != 0 {
		f.out.WriteString(before + "null")
	} else {
		f.out.WriteString(before + all)
	}
	f.out.Write(rest[n:])
	f.endRow(all)
	return nil
}
