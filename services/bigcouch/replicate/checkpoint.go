package replicate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// A checkpoint is the local document that says how far a replication has come.
type checkpoint struct {
	ID      string          `json:"_id,omitempty"`
	Rev     string          `json:"_rev,omitempty"`
	Session string          `json:"session_id"`
	LastSeq json.RawMessage `json:"source_last_seq"`
	Version int             `json:"replication_id_version"`
	History []session       `json:"history"`
}

// A session is what one run has done.
type session struct {
	Session     string          `json:"session_id"`
	Start       string          `json:"start_time"`
	End         string          `json:"end_time"`
	StartSeq    json.RawMessage `json:"start_last_seq"`
	EndSeq      json.RawMessage `json:"end_last_seq"`
	RecordedSeq json.RawMessage `json:"recorded_seq"`
	PreviousSeq json.RawMessage `json:"previous_seq,omitempty"` // What was recorded before, in this session. Ours alone.
	Checked     int64           `json:"missing_checked"`
	Found       int64           `json:"missing_found"`
	Read        int64           `json:"docs_read"`
	Written     int64           `json:"docs_written"`
	Failures    int64           `json:"doc_write_failures"`
}

// maxSessions is how many sessions a checkpoint remembers.
const maxSessions = 50

// seqZero is the sequence before the first change.
var seqZero = json.RawMessage("0")

// resume returns the sequence up to which both checkpoints agree that all has
// been written.
func resume(source, target *checkpoint) json.RawMessage {
	// Both lists have the newest session first. Of the last session that both
	// know one may lack the last record, since the other died before, or was
	// restored from a backup. Sequences cannot be compared, so what both have
	// had on record counts: the record before, or at least the start.
	known := map[string]session{}
	for _, s := range source.History {
		known[s.Session] = s
	}
	for _, t := range target.History {
		s, ok := known[t.Session]
		switch {
		case !ok || t.RecordedSeq == nil || s.RecordedSeq == nil:
		case bytes.Equal(s.RecordedSeq, t.RecordedSeq), bytes.Equal(s.RecordedSeq, t.PreviousSeq):
			return s.RecordedSeq
		case bytes.Equal(t.RecordedSeq, s.PreviousSeq):
			return t.RecordedSeq
		default:
			return t.StartSeq
		}
	}
	return nil
}

// book keeps the checkpoints of one run.
type book struct {
	id             string
	source, target checkpoint
	readOnly       [2]bool // A side where no local document may be written.
	session        session
	wrote          json.RawMessage // The sequence that is on record.
	at             time.Time       // When it was written.
}

// load reads both checkpoints and returns where to start.
func (r *Replication) load(ctx context.Context) (json.RawMessage, error) {
	start := r.Request.Since
	if start == nil {
		start = seqZero
	}
	b := &r.book
	if !r.Request.NoCheckpoints {
		s, err := r.Source.local(ctx, b.id, &b.source)
		if err != nil {
			return nil, err
		}
		t, err := r.Target.local(ctx, b.id, &b.target)
		if err != nil {
			return nil, err
		}
		if s && t {
			if seq := resume(&b.source, &b.target); seq != nil {
				start = seq
			}
		}
	}
	b.session.StartSeq = start
	b.wrote = start
	return start, nil
}

// record writes the checkpoint of seq, up to which all is written, to the
// target and then to the source.
func (r *Replication) record(ctx context.Context, seq json.RawMessage) error {
	if err := r.Target.commit(ctx); err != nil {
		return err
	}
	b := &r.book
	s := r.sessionAt(seq)
	for i, side := range []struct {
		p *Peer
		c *checkpoint
	}{{r.Target, &b.target}, {r.Source, &b.source}} {
		if b.readOnly[i] {
			continue
		}
		err := side.p.save(ctx, b.id, side.c, s)
		if st := status(err); st == http.StatusUnauthorized || st == http.StatusForbidden {
			b.readOnly[i] = true // It can be copied all the same, from the start each time.
		} else if err != nil {
			return err
		}
	}
	b.session.PreviousSeq = seq
	b.wrote, b.at = seq, time.Now()
	return nil
}

// sessionAt returns this run's entry of the history.
func (r *Replication) sessionAt(seq json.RawMessage) session {
	s := r.book.session
	st := r.Stats()
	s.End = httpTime(time.Now())
	s.EndSeq, s.RecordedSeq = seq, seq
	s.Checked, s.Found, s.Read, s.Written, s.Failures = st.Checked, st.Found, st.Read, st.Written, st.Failures
	return s
}

// save writes one checkpoint. Another run may have written it in between; what
// that one says is kept behind ours.
func (p *Peer) save(ctx context.Context, id string, c *checkpoint, s session) error {
	for range 5 {
		history := []session{s}
		for _, old := range c.History {
			if old.Session != s.Session && len(history) < maxSessions {
				history = append(history, old)
			}
		}
		next := checkpoint{
			ID: "_local/" + id, Rev: c.Rev, Session: s.Session, LastSeq: s.RecordedSeq, Version: idVersion, History: history,
		}
		var written struct{ Rev string }
		err := p.json(ctx, http.MethodPut, "/_local/"+id, next, &written, maxReply)
		if err == nil {
			*c = next
			c.Rev = written.Rev
			return nil
		}
		if status(err) != http.StatusConflict {
			return err
		}
		*c = checkpoint{}
		if _, err := p.local(ctx, id, c); err != nil {
			return err
		}
	}
	return errorf("conflict", "%s: the checkpoint changes all the time", p.name)
}

// httpTime is the form of times in a history.
func httpTime(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
