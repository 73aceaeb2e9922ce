package replicate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// inlineBytes is how much of the attachments of one document goes with it in
// JSON, together with other documents. More streams.
const inlineBytes = 1 << 20

// A stub is an attachment as a document names it.
type stub struct {
	name string
	raw  json.RawMessage

	ContentType string  `json:"content_type"`
	RevPos      int     `json:"revpos"`
	Length      *int64  `json:"length"`
	Data        *string `json:"data"`

	send bool // Its bytes go to the target; else it goes as it is.
}

// attach makes a document with attachments ready. Nil: there is nothing more to
// do, since the document has been streamed, or the source has it no more. have
// are leaves of the target. A nil document is read first.
func (w *writer) attach(ctx context.Context, id, rev string, doc *members, have []string) (*item, error) {
	if doc == nil {
		var err error
		if doc, err = w.reread(ctx, id, rev); doc == nil {
			return nil, err
		}
		if json.Unmarshal(doc.get("_rev"), &rev) != nil {
			return nil, w.Source.failed(errNotJSON)
		}
	}
	stubs, err := parseStubs(doc.get("_attachments"))
	if err != nil {
		return nil, w.Source.failed(err)
	}
	common := doc.common(have)
	it := &item{id: id, rev: rev}
	total := int64(0)
	for i, s := range stubs {
		switch {
		case s.Data != nil:
		case s.RevPos > 0 && s.RevPos <= common:
			it.stubs = true
		case s.Length == nil || *s.Length < 0:
			return nil, errorf("bad_attachment", "%s: an attachment without length", w.Source.name)
		default:
			stubs[i].send = true
			total += *s.Length
		}
	}
	body := w.pieces(ctx, id, rev, doc, stubs)
	if total <= inlineBytes {
		if it.data, err = io.ReadAll(body); err != nil {
			it.data = nil
		}
	} else {
		err = w.stream(ctx, it, doc, stubs, body)
	}
	err = errors.Join(err, body.close())
	if _, lost := errors.AsType[*lostError](err); lost && gone(err) {
		// The document has been edited since, or the attachment is one of a
		// deleted revision, which not every peer serves by itself.
		it.stubs = false
		it.data, err = w.whole(ctx, id, rev, "&attachments=true")
	}
	if err != nil || it.data == nil {
		return nil, err
	}
	return it, nil
}

// whole reads one revision again, or what it has become; nil if the source has
// it no more.
func (w *writer) whole(ctx context.Context, id, rev, more string) (data json.RawMessage, err error) {
	path := docPath(id) + "?revs=true&latest=true&rev=" + url.QueryEscape(rev) + more
	err = w.Source.json(ctx, http.MethodGet, path, nil, &data, maxDoc)
	if gone(err) {
		return nil, nil
	}
	return data, err
}

// reread is whole, with stubs of attachments.
func (w *writer) reread(ctx context.Context, id, rev string) (*members, error) {
	data, err := w.whole(ctx, id, rev, "")
	if err != nil || data == nil {
		return nil, err
	}
	doc, err := parseMembers(data)
	if err != nil {
		return nil, w.Source.failed(errNotJSON)
	}
	return doc, nil
}

func parseStubs(data json.RawMessage) ([]stub, error) {
	m, err := parseMembers(data)
	if err != nil {
		return nil, errNotJSON
	}
	var stubs []stub
	for i, name := range m.names {
		s := stub{name: name, raw: m.values[i]}
		if json.Unmarshal(s.raw, &s) != nil {
			return nil, errNotJSON
		}
		stubs = append(stubs, s)
	}
	return stubs, nil
}

// common returns the generation of the newest ancestor that the target has as a
// leaf: older attachments are there.
func (m *members) common(have []string) int {
	var revs struct {
		Start int      `json:"start"`
		IDs   []string `json:"ids"`
	}
	if len(have) == 0 || json.Unmarshal(m.get("_revisions"), &revs) != nil {
		return 0
	}
	for i, hash := range revs.IDs {
		if slices.Contains(have, strconv.Itoa(revs.Start-i)+"-"+hash) {
			return revs.Start - i
		}
	}
	return 0
}

// stream writes one document whose attachments do not fit into memory: in a
// multipart message, whose parts a target stores as they come, or, where the
// target takes none, in JSON.
func (w *writer) stream(ctx context.Context, it *item, doc *members, stubs []stub, body *pieces) error {
	var err error
	if !w.Target.noMultipart {
		parts, boundary := w.parts(ctx, it.id, it.rev, doc, stubs)
		err = w.send(ctx, request{
			method: http.MethodPut, path: docPath(it.id) + "?new_edits=false", body: parts, length: parts.length,
			ctype: `multipart/related; boundary="` + boundary + `"`,
		})
		failed := parts.failure()
		if closed := parts.close(); failed != nil {
			return errors.Join(failed, closed)
		}
		w.Target.noMultipart = lacks(err)
	}
	if w.Target.noMultipart {
		head := newPieces()
		head.text(`{"new_edits":false,"docs":[`)
		head.append(body)
		head.text(`]}`)
		err = w.send(ctx, request{
			method: http.MethodPost, path: "/_bulk_docs", body: head, length: head.length, ctype: "application/json",
		})
		failed := head.failure()
		if closed := head.close(); failed != nil {
			return errors.Join(failed, closed)
		}
	}
	e, refused := errors.AsType[*Error](err)
	switch {
	case err == nil:
		w.count(func(s *Stats) { s.Written++ })
		return nil
	case refused && e.Name == "missing_stub" && it.stubs:
		_, err = w.attach(ctx, it.id, it.rev, doc, nil)
		return err
	case refused && e.Status == http.StatusRequestEntityTooLarge, refused && slices.Contains(unwanted, e.Name) && e.Status != http.StatusUnauthorized:
		w.failures++
		return nil
	}
	return err
}

// send sends a document by itself. What _bulk_docs says about it counts as the
// status of the request.
func (w *writer) send(ctx context.Context, r request) error {
	r.total = longTime + time.Duration(r.length/(16<<10))*time.Second // No less than 16 KiB/s.
	resp, err := w.Target.call(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(&meter{r: resp.Body, left: maxReply})
	if err != nil {
		return w.Target.failed(err)
	}
	var rows []refusal
	if json.Unmarshal(data, &rows) != nil || len(rows) == 0 || rows[0].Error == "" {
		return nil
	}
	return &Error{http.StatusInternalServerError, cut(rows[0].Error), w.Target.name + ": " + cut(rows[0].Reason)}
}

// pieces returns the document in JSON, with the attachments that are to be sent
// inline.
func (w *writer) pieces(ctx context.Context, id, rev string, doc *members, stubs []stub) *pieces {
	b := newPieces()
	b.text(string(doc.without("_attachments")) + `,"_attachments":{`)
	for i, s := range stubs {
		if i > 0 {
			b.text(",")
		}
		b.text(string(appendString(nil, s.name)) + ":")
		if !s.send {
			b.text(string(s.raw))
			continue
		}
		b.text(`{"content_type":` + string(appendString(nil, s.ContentType)) + `,"revpos":` + strconv.Itoa(s.RevPos) + `,"data":"`)
		b.add(&encoding{r: w.attachment(ctx, id, rev, s)}, int64(base64.StdEncoding.EncodedLen(int(*s.Length))))
		b.text(`"}`)
	}
	b.text("}}")
	return b
}

// parts returns the document as a multipart message.
func (w *writer) parts(ctx context.Context, id, rev string, doc *members, stubs []stub) (*pieces, string) {
	boundary := w.book.session.Session
	head := newPieces()
	head.text("--" + boundary + "\r\nContent-Type: application/json\r\n\r\n" + string(doc.without("_attachments")) + `,"_attachments":{`)
	tail := newPieces()
	for i, s := range stubs {
		if i > 0 {
			head.text(",")
		}
		head.text(string(appendString(nil, s.name)) + ":")
		if !s.send {
			head.text(string(s.raw))
			continue
		}
		length := strconv.FormatInt(*s.Length, 10)
		head.text(`{"content_type":` + string(appendString(nil, s.ContentType)) + `,"revpos":` + strconv.Itoa(s.RevPos) +
			`,"follows":true,"length":` + length + `}`)
		tail.text("\r\n--" + boundary + "\r\nContent-Disposition: attachment; filename=\"" + quoted(s.name) + "\"\r\nContent-Type: " +
			oneLine(s.ContentType) + "\r\nContent-Length: " + length + "\r\n\r\n")
		tail.add(w.attachment(ctx, id, rev, s), *s.Length)
	}
	head.text("}}")
	head.append(tail)
	head.text("\r\n--" + boundary + "--")
	return head, boundary
}

// quoted returns a name as a header says it between quotes. Peers go by the
// order of the parts, or by this.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "").Replace(s)
}

func oneLine(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }
