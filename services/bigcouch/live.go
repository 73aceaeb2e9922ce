package bigcouch

import (
	"strconv"
	"time"
)

// How long a live feed is silent: at most, and at most without heartbeats.
const (
	maxTimeout       = time.Minute
	defaultHeartbeat = time.Minute
	minHeartbeat     = 100 * time.Millisecond
)

// A live answer goes on while things happen.
type live struct {
	*call
	kind      string        // normal, longpoll, continuous or eventsource.
	heartbeat time.Duration // 0: none.
	timeout   time.Duration
	rows      int // Written.
}

// newLive reads which feed it is, and how long it may be silent.
func (c *call) newLive() (l live, err error) {
	l.call = c
	switch l.kind = c.query.Get("feed"); l.kind {
	case "":
		l.kind = "normal"
	case "live":
		l.kind = "continuous"
	case "normal", "longpoll", "continuous", "eventsource":
	default:
		return l, badRequest("Supported `feed` types: normal, continuous, live, longpoll, eventsource")
	}
	c.feed = l.kind != "normal"
	ms, err := c.number("timeout", int(maxTimeout/time.Millisecond))
	if err != nil {
		return l, err
	}
	l.timeout = min(maxTimeout, time.Duration(ms)*time.Millisecond)
	switch h := c.query.Get("heartbeat"); h {
	case "", "false":
	case "true":
		l.heartbeat = defaultHeartbeat
	default:
		ms, err := strconv.ParseInt(h, 10, 32)
		if err != nil {
			return l, badRequest("Invalid heartbeat value. Expecting a positive integer value (in milliseconds).")
		}
		if ms <= 0 {
			return l, badRequest("The heartbeat value should be a positive integer (in milliseconds).")
		}
		l.heartbeat = max(minHeartbeat, time.Duration(ms)*time.Millisecond)
	}
	return l, nil
}

// sinceParameter returns where the client wants to go on. A browser that opens a feed of
// events again says so in a header.
func (l *live) sinceParameter() string {
	if id := l.r.Header.Get("Last-Event-ID"); id != "" && l.kind == "eventsource" {
		return id
	}
	return l.either("since", "last-event-id")
}

// open begins the answer.
func (l *live) open() {
	switch l.kind {
	case "eventsource":
		l.begin("text/event-stream")
		l.w.Header().Set("Cache-Control", "no-cache")
	case "continuous":
		l.begin(typeJSON)
	default:
		l.begin(typeJSON).WriteString("{\"results\":[\n")
	}
}

// beginRow writes what comes before a row.
func (l *live) beginRow() {
	switch {
	case l.kind == "eventsource":
		l.out.WriteString("data: ")
	case l.kind != "continuous" && l.rows > 0:
		l.out.WriteString(",\n")
	}
	l.rows++
}

// endRow writes what comes after it. seq is JSON.
func (l *live) endRow(seq string) {
	switch l.kind {
	case "eventsource":
		l.out.WriteString("\nid: " + seq + "\n\n")
	case "continuous":
		l.out.WriteByte('\n')
	}
}

// finish ends the answer. seq is JSON, pending too, or empty.
func (l *live) finish(seq, pending string) error {
	if pending != "" {
		pending = `,"pending":` + pending
	}
	switch l.kind {
	case "eventsource":
	case "continuous":
		l.out.WriteString(`{"last_seq":` + seq + pending + "}\n")
	default:
		l.out.WriteString("\n],\n\"last_seq\":" + seq + pending + "}\n")
	}
	return l.end()
}

// wait returns when something has changed; over means that the feed ends
// without that. Heartbeats keep it from ending by itself.
func (l *live) wait(changed <-chan struct{}) (over bool, err error) {
	_, over, err = await(l, changed)
	return over, err
}

// await is wait for something that says what has changed.
func await[T any](l *live, changed <-chan T) (what T, over bool, err error) {
	period := l.timeout
	if l.heartbeat > 0 {
		period = l.heartbeat
	}
	t := time.NewTimer(period)
	defer t.Stop()
	for {
		select {
		case what = <-changed:
			return what, false, nil
		case <-l.stopping:
			return what, true, nil
		case <-l.ctx().Done():
			return what, true, l.ctx().Err()
		case <-t.C:
		}
		if l.heartbeat == 0 {
			return what, true, nil
		}
		t.Reset(period)
		if l.kind == "eventsource" {
			l.out.WriteString("event: heartbeat\ndata: \n\n")
		} else {
			l.out.WriteByte('\n')
		}
		if err := l.flush(); err != nil {
			return what, true, err
		}
	}
}
