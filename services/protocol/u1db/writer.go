package u1db

import (
	"encoding/json"
	"fmt"
	"io"
)

// A Writer writes one stream of documents. Each document is one Write of the
// underlying writer.
type Writer struct {
	w      io.Writer
	kind   string
	total  int // Documents announced; -1 for a plain request, which announces none.
	count  int
	broken error
	buf    []byte
}

// NewPutWriter starts the body of a sync-put of total documents.
func NewPutWriter(w io.Writer, h SyncHeader, total int) (*Writer, error) {
	return start(w, SyncPut, h, total)
}

// NewPlainWriter starts the body of a plain u1db POST.
func NewPlainWriter(w io.Writer, h SyncHeader) (*Writer, error) {
	return start(w, PlainStream, h, -1)
}

// NewGetWriter starts the answer to a sync-get; res.NumberOfChanges documents
// must follow.
func NewGetWriter(w io.Writer, res SyncResult) (*Writer, error) {
	return start(w, SyncGetResponse, res, res.NumberOfChanges)
}

// NewPlainResponseWriter starts the answer to a plain u1db POST;
// res.NumberOfChanges documents must follow.
func NewPlainResponseWriter(w io.Writer, res SyncResult) (*Writer, error) {
	return start(w, "response to "+PlainStream, res, res.NumberOfChanges)
}

func start(w io.Writer, kind string, first any, total int) (*Writer, error) {
	b, err := json.Marshal(first)
	if err != nil {
		return nil, fmt.Errorf("encoding the head of a stream: %w", err)
	}
	wr := &Writer{w: w, kind: kind, total: total}
	return wr, wr.flush(append([]byte("[\r\n"), b...))
}

func (w *Writer) flush(b []byte) error {
	if w.broken == nil {
		if _, err := w.w.Write(b); err != nil {
			w.broken = fmt.Errorf("writing a stream: %w", err)
		}
	}
	return w.broken
}

// What a document's entry holds depends on the stream, leap-protocols.md 7.4.
type (
	getEntry struct {
		ID      string `json:"id"`
		Rev     string `json:"rev"`
		Gen     int    `json:"gen"`
		TransID string `json:"trans_id"`
	}
	plainEntry struct {
		ID      string  `json:"id"`
		Rev     string  `json:"rev"`
		Content *string `json:"content"`
		Gen     int     `json:"gen"`
		TransID string  `json:"trans_id"`
	}
	putEntry struct {
		plainEntry     // The content member stays null: the next line has it.
		Total      int `json:"number_of_docs"`
		Index      int `json:"doc_idx"`
	}
)

// Write writes the next document. The generations of a request must rise,
// those of an answer rise or, newest first, fall; the reader refuses anything
// else.
func (w *Writer) Write(d Document) error {
	if w.total >= 0 && w.count >= w.total {
		return w.fail(fmt.Errorf("a stream of %d documents gets one more", w.total))
	}
	if d.Content != "" && !validContent([]byte(d.Content)) {
		return w.fail(fmt.Errorf("content of %s is not one line of JSON: %w", d.ID, ErrBadRequest))
	}
	w.count++
	var e any
	paired := true
	switch w.kind {
	case SyncPut:
		e = putEntry{plainEntry{d.ID, d.Rev, nil, d.Gen, d.TransID}, w.total, w.count}
	case SyncGetResponse:
		e = getEntry{d.ID, d.Rev, d.Gen, d.TransID}
	default:
		paired = false
		p := plainEntry{d.ID, d.Rev, nil, d.Gen, d.TransID}
		if d.Content != "" {
			p.Content = &d.Content
		}
		e = p
	}
	b, err := json.Marshal(e)
	if err != nil {
		return w.fail(fmt.Errorf("encoding %s: %w", d.ID, err))
	}
	w.buf = append(append(w.buf[:0], ",\r\n"...), b...)
	if paired {
		w.buf = append(append(w.buf, ",\r\n"...), d.Content...)
	}
	return w.flush(w.buf)
}

func (w *Writer) fail(err error) error {
	if w.broken == nil {
		w.broken = err
	}
	return w.broken
}

// Close ends the stream. If a document is missing or could not be written it
// returns an error and leaves the stream open, so that no reader takes it for
// complete.
func (w *Writer) Close() error {
	if w.total >= 0 && w.count != w.total {
		return w.fail(fmt.Errorf("a stream of %d documents got %d", w.total, w.count))
	}
	if w.kind == SyncPut || w.kind == PlainStream {
		return w.flush([]byte("\r\n]"))
	}
	return w.flush([]byte("\r\n]\r\n"))
}

// WriteGet writes the body of a sync-get.
func WriteGet(w io.Writer, h SyncHeader) error {
	wr, err := start(w, SyncPut, h, 0)
	if err != nil {
		return err
	}
	return wr.Close()
}

// WritePutResponse writes the answer to a sync-put.
func WritePutResponse(w io.Writer, s SyncResult) error {
	wr, err := start(w, SyncGetResponse, struct {
		NewGeneration    int    `json:"new_generation"`
		NewTransactionID string `json:"new_transaction_id"`
		ReplicaUID       string `json:"replica_uid,omitempty"`
	}{s.NewGeneration, s.NewTransactionID, s.ReplicaUID}, 0)
	if err != nil {
		return err
	}
	return wr.Close()
}
