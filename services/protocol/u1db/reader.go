package u1db

import (
	"fmt"
	"io"
	"strings"
)

// A Reader reads the documents of one stream, one at a time.
type Reader struct {
	lines  *lines
	inline bool // The content is inside the entry (plain stream).
	source bool // The stream comes from a source: strict revisions, ascending.
	total  int  // Documents to come: of the answer's result or the first put entry; -1 unknown.
	top    int  // No generation is above it, if it is not negative.
	count  int
	last   int   // Generation of the previous document.
	down   bool  // Generations fall (newest first).
	err    error // Sticky.
}

// entry is the first line of a document.
type entry struct {
	ID      string  `json:"id"`
	Rev     string  `json:"rev"`
	Content *string `json:"content"`
	Gen     int     `json:"gen"`
	TransID string  `json:"trans_id"`
	Total   int     `json:"number_of_docs"`
	Index   int     `json:"doc_idx"`
}

// NewPutReader starts reading the body of a sync-put; limit bounds one line,
// in bytes. Errors of this and of all readers are an ErrBadRequest (also an
// io.ErrUnexpectedEOF if the stream was cut off), an ErrDocumentTooBig, the
// refusal that the stream carries, or the error of r.
func NewPutReader(r io.Reader, limit int) (*Reader, SyncHeader, error) {
	return newSource(r, limit, false)
}

// NewPlainReader starts reading the body of a plain u1db POST.
func NewPlainReader(r io.Reader, limit int) (*Reader, SyncHeader, error) {
	return newSource(r, limit, true)
}

func newSource(r io.Reader, limit int, inline bool) (*Reader, SyncHeader, error) {
	var h SyncHeader
	l, err := newLines(r, limit)
	if err == nil {
		err = l.first(&h)
	}
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return nil, SyncHeader{}, err
	}
	return &Reader{lines: l, inline: inline, source: true, total: -1, top: -1}, h, nil
}

func (h SyncHeader) check() error {
	if h.LastKnownGeneration < 0 || (h.LastKnownGeneration == 0) != (h.LastKnownTransID == "") ||
		h.LastKnownTransID != "" && !ValidTransID(h.LastKnownTransID) || h.SyncID != "" && !ValidReplica(h.SyncID) {
		return bad("header out of range")
	}
	return nil
}

// NewGetReader starts reading the answer to a sync-get. Its revisions are not
// checked: a device sets a bad document aside and goes on.
func NewGetReader(r io.Reader, limit int) (*Reader, SyncResult, error) {
	return newTarget(r, limit, false)
}

// NewPlainResponseReader starts reading the answer to a plain u1db POST.
func NewPlainResponseReader(r io.Reader, limit int) (*Reader, SyncResult, error) {
	return newTarget(r, limit, true)
}

func newTarget(r io.Reader, limit int, inline bool) (*Reader, SyncResult, error) {
	// The plain answer of other servers does not count its documents.
	first := struct {
		SyncResult
		Number *int `json:"number_of_changes"`
	}{}
	l, err := newLines(r, limit)
	if err == nil {
		err = l.first(&first)
	}
	if err == nil {
		err = first.check()
	}
	total := -1
	if err == nil && first.Number != nil {
		total = *first.Number
		first.NumberOfChanges = total
	}
	if err == nil && (total < 0 && !inline || total < -1) {
		err = bad("result without its number of changes")
	}
	if err != nil {
		return nil, SyncResult{}, err
	}
	return &Reader{lines: l, inline: inline, total: total, top: first.NewGeneration}, first.SyncResult, nil
}

func (s SyncResult) check() error {
	if s.NewGeneration < 0 || (s.NewGeneration == 0) != (s.NewTransactionID == "") ||
		s.NewTransactionID != "" && !ValidTransID(s.NewTransactionID) || s.ReplicaUID != "" && !ValidReplica(s.ReplicaUID) {
		return bad("result out of range")
	}
	return nil
}

// Next returns the next document; io.EOF after the last one, when the stream
// is complete. Only then may the caller act on the stream as a whole.
func (r *Reader) Next() (Document, error) {
	if r.err != nil {
		return Document{}, r.err
	}
	d, err := r.next()
	r.err = err
	return d, err
}

func (r *Reader) next() (Document, error) {
	text, err := r.lines.next()
	if err == io.EOF && r.total >= 0 && r.count != r.total {
		return Document{}, fmt.Errorf("%d documents announced, %d sent: %w", r.total, r.count, ErrBadRequest)
	}
	if err != nil {
		return Document{}, err
	}
	var e entry
	if err := element(text, &e); err != nil {
		return Document{}, err
	}
	if err := r.check(e); err != nil {
		return Document{}, err
	}
	d := Document{ID: strings.Clone(e.ID), Rev: e.Rev, Gen: e.Gen, TransID: e.TransID}
	content := []byte(nil)
	if r.inline {
		if e.Content != nil {
			content = []byte(*e.Content)
		}
	} else {
		content, err = r.lines.next()
		if err == io.EOF {
			return Document{}, bad("a document without its content line")
		}
		if err != nil {
			return Document{}, err
		}
	}
	if len(content) > 0 && !validContent(content) {
		return Document{}, bad("content is not one line of JSON")
	}
	d.Content = string(content)
	return d, nil
}

// check checks an entry against the stream so far, and counts it.
func (r *Reader) check(e entry) error {
	switch {
	case !ValidDocID(e.ID):
		return fmt.Errorf("document %.80q: %w", e.ID, ErrInvalidDocID)
	case e.Gen < 1 || !ValidTransID(e.TransID):
		return bad("a document without generation or transaction id")
	case r.top >= 0 && e.Gen > r.top:
		return bad("a generation beyond the stream's own")
	}
	if r.source {
		if _, err := ParseRevision(e.Rev); err != nil {
			return err
		}
	}
	if r.count == 1 && !r.source {
		r.down = e.Gen < r.last
	}
	if r.count > 0 && (e.Gen == r.last || (e.Gen < r.last) != r.down) {
		return bad("documents out of order")
	}
	r.last = e.Gen
	r.count++
	if !r.source || r.inline {
		return nil
	}
	if r.total < 0 {
		r.total = e.Total
	}
	if e.Total != r.total || e.Index != r.count || e.Index > e.Total {
		return bad("documents counted wrong")
	}
	return nil
}

// ReadGet reads the body of a sync-get.
func ReadGet(r io.Reader) (SyncHeader, error) {
	var h SyncHeader
	if err := single(r, &h); err != nil {
		return SyncHeader{}, err
	}
	return h, h.check()
}

// ReadPutResponse reads the answer to a sync-put.
func ReadPutResponse(r io.Reader) (SyncResult, error) {
	var s SyncResult
	if err := single(r, &s); err != nil {
		return SyncResult{}, err
	}
	return s, s.check()
}

// single reads an array of one short element.
func single(r io.Reader, v any) error {
	l, err := newLines(r, 4096)
	if err == nil {
		err = l.first(v)
	}
	if err == nil {
		err = l.end()
	}
	return err
}
