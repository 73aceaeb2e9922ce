package bigcouch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// How long a live feed is silent: at most, and at most without heartbeats.
const (
	maxTimeout       = time.Minute
	defaultHeartbeat = time.Minute
	minHeartbeat     = 100 * time.Millisecond
)

// live reads what concerns live feeds, and the filter.
func (f *feed) live() error {
	ms, err := f.number("timeout", int(maxTimeout/time.Millisecond))
	if err != nil {
		return err
	}
	f.timeout = min(maxTimeout, time.Duration(ms)*time.Millisecond)
	switch h := f.query.Get("heartbeat"); h {
	case "", "false":
	case "true":
		f.heartbeat = defaultHeartbeat
	default:
		ms, err := parseNumber(h)
		if err != nil {
			return err
		}
		if ms == 0 {
			return badRequest("The heartbeat value should be a positive integer (in milliseconds).")
		}
		f.heartbeat = max(minHeartbeat, time.Duration(ms)*time.Millisecond)
	}
	return f.filter()
}

// filter reads filter and doc_ids. A body with doc_ids but no filter in the
// query means that filter, as it does to CouchDB's own clients.
func (f *feed) filter() error {
	filter := f.query.Get("filter")
	if filter != "" && filter != "_doc_ids" {
		return badRequest("Supported `filter`: _doc_ids")
	}
	var ids []string
	if list := f.query.Get("doc_ids"); list != "" {
		if json.Unmarshal([]byte(list), &ids) != nil || ids == nil {
			return badRequest("`doc_ids` filter parameter is not a list of doc ids.")
		}
	}
	if f.r.Method == http.MethodPost {
		if err := f.wantJSON(); err != nil {
			return err
		}
		data, err := f.readBody()
		if err != nil {
			return err
		}
		var body struct {
			IDs []string `json:"doc_ids"`
		}
		if len(data) > 0 && json.Unmarshal(data, &body) != nil {
			return errBadJSON
		}
		if body.IDs != nil {
			ids, filter = body.IDs, "_doc_ids"
		}
	}
	if filter == "" {
		return nil
	}
	if ids == nil {
		return badRequest("`doc_ids` filter parameter is not a list of doc ids.")
	}
	slices.Sort(ids)
	f.ids = slices.Compact(ids)
	return nil
}

// last ends the answer of a normal or longpoll feed.
func (f *feed) last(pending int) {
	f.out.WriteString("\n],\n\"last_seq\":" + strconv.Quote(seqString(f.db, f.since)) +
		",\"pending\":" + strconv.Itoa(pending) + "}\n")
}

// longpoll answers when there is a change, or after the timeout.
func (f *feed) longpoll() error {
	f.begin("application/json").WriteString("{\"results\":[\n")
	err := f.follow(func() bool { return f.rows > 0 })
	if err != nil {
		return err
	}
	f.last(0)
	return f.end()
}

// continuous writes a line for each change until the timeout passes without
// one.
func (f *feed) continuous() error {
	f.begin("application/json")
	if err := f.follow(func() bool { return f.limit == 0 }); err != nil {
		return err
	}
	f.out.WriteString(`{"last_seq":` + strconv.Quote(seqString(f.db, f.since)) + ",\"pending\":0}\n")
	return f.end()
}

// follow writes changes as they come until done, the timeout, the end of the
// database or of the node. apply wakes it; it does not poll.
func (f *feed) follow(done func() bool) error {
	for f.limit != 0 {
		changed, release := f.store.Changed(f.db)
		before := f.rows
		gone, err := f.look()
		if err != nil || gone || done() {
			release()
			return err
		}
		if f.rows > before || before == 0 {
			err = f.flush()
		}
		if err == nil {
			gone, err = f.wait(changed)
		}
		release()
		if err != nil || gone {
			return err
		}
	}
	return nil
}

// look writes what there is now. gone means that the database is no more.
func (f *feed) look() (gone bool, err error) {
	v := f.view()
	defer v.Close()
	info, err := v.Info(f.db)
	if err != nil || info == nil {
		return true, err
	}
	return false, f.batch(v)
}

// wait returns when something has changed; over means that the feed ends
// without that. Heartbeats keep it from ending by itself.
func (f *feed) wait(changed <-chan struct{}) (over bool, err error) {
	period := f.timeout
	if f.heartbeat > 0 {
		period = f.heartbeat
	}
	t := time.NewTimer(period)
	defer t.Stop()
	for {
		select {
		case <-changed:
			return false, nil
		case <-f.stopping:
			return true, nil
		case <-f.ctx().Done():
			return true, f.ctx().Err()
		case <-t.C:
		}
		if f.heartbeat == 0 {
			return true, nil
		}
		t.Reset(period)
		f.out.WriteByte('\n')
		if err := f.flush(); err != nil {
			return true, err
		}
	}
}
