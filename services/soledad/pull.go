package soledad

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"slices"
	"strings"

	"leap.example/services/protocol/u1db"
)

const (
	maxChanges = 100_000 // In one answer, about 15 MB of list.
	pageSize   = 1000    // Changes asked of the store at once.
	groupDocs  = 32      // Documents asked of the store at once, while they are small.
	groupBytes = 1 << 20 // What is not small.
)

// send answers with the documents that the source does not have: step 4.
func (x *exchange) send(c *call, kind string) error {
	res, changes, err := x.changes(c.Context())
	if err != nil {
		return err
	}
	p := puller{db: x.db, left: changes}
	// What is missing at the beginning is not announced.
	for len(p.ready) == 0 && len(p.left) > 0 {
		if err := p.fetch(c.Context()); err != nil {
			return err
		}
	}
	res.NumberOfChanges = len(p.ready) + len(p.left)
	open := u1db.NewGetWriter
	c.w.Header().Set("Content-Type", u1db.SyncGetResponse)
	if kind == u1db.PlainStream {
		open = u1db.NewPlainResponseWriter
		c.w.Header().Set("Content-Type", u1db.PlainStream)
	}
	out, finish := c.stream(res.NumberOfChanges > 0)
	w, err := open(out, res)
	if err == nil {
		err = p.each(c.Context(), w.Write)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err // Without the closing bracket, so that nobody takes it for complete.
	}
	return finish()
}

// changes returns what changed since the source's last sync and is not its own
// work, in the order in which it is to be sent, and where the source stands
// after that.
func (x *exchange) changes(ctx context.Context) (u1db.SyncResult, []u1db.Change, error) {
	_, gen, trans, err := info(ctx, x.db)
	if err != nil {
		return u1db.SyncResult{}, nil, err
	}
	var list []u1db.Change
	whole := true
	for since := x.header.LastKnownGeneration; since < gen && whole; {
		page, err := x.db.Changes(ctx, since, pageSize)
		if err != nil {
			return u1db.SyncResult{}, nil, err
		}
		if len(page) == 0 {
			break
		}
		since = page[len(page)-1].Gen
		for i, ch := range page {
			if ch.Gen > gen {
				break // Changed after we looked: it comes with the next sync.
			}
			if x.seen.covers(ch.DocID, ch.Gen) {
				continue
			}
			list = append(list, ch)
			if len(list) == x.s.maxChanges && (i+1 < len(page) || since < gen) {
				gen, trans, whole = ch.Gen, ch.TransID, false
				break
			}
		}
	}
	if x.header.NewestFirst && whole {
		slices.Reverse(list)
	}
	return x.result(gen, trans), list, nil
}

// A puller reads the present versions of changed documents, a group at a time.
type puller struct {
	db    Documents
	left  []u1db.Change   // Not read yet.
	ready []u1db.Document // Read and not sent.
	last  u1db.Document   // Read last; none if it has no id.
	group int             // How many are read at once; 0: groupDocs.
}

// fetch reads the next group. A change whose document is not there, which a
// store may leave behind when it dies, is made up for by the document before
// it, once more: its number was announced, and the source finds it equal.
func (p *puller) fetch(ctx context.Context) error {
	if p.group == 0 {
		p.group = groupDocs
	}
	group := p.left[:min(p.group, len(p.left))]
	p.left = p.left[len(group):]
	ids := make([]string, len(group))
	for i, ch := range group {
		ids[i] = ch.DocID
	}
	docs, err := p.db.GetMany(ctx, ids)
	if err != nil {
		return err
	}
	by := make(map[string]u1db.Document, len(docs))
	size := 0
	for _, d := range docs {
		by[d.ID] = d
		size += len(d.Content)
	}
	for _, ch := range group {
		d, ok := by[ch.DocID]
		if !ok {
			d = p.last
		}
		if d.ID == "" {
			continue
		}
		d.Gen, d.TransID = ch.Gen, ch.TransID
		p.ready = append(p.ready, d)
		p.last = d
	}
	// As many as fit, judged by these.
	p.group = groupDocs
	if size > groupBytes {
		p.group = max(1, len(group)*groupBytes/size)
	}
	return nil
}

// each gives the documents to write.
func (p *puller) each(ctx context.Context, write func(u1db.Document) error) error {
	for {
		for _, d := range p.ready {
			if err := write(d); err != nil {
				return err
			}
		}
		p.ready = p.ready[:0]
		if len(p.left) == 0 {
			return nil
		}
		if err := p.fetch(ctx); err != nil {
			return err
		}
	}
}

// stream returns a writer of the answer's body, compressed if the client takes
// that and it is worth while. What is sent is sealed and base64: Huffman
// coding alone takes the quarter that base64 has added, at little cost. finish
// completes the body; without it the body is visibly cut off or incomplete.
func (c *call) stream(compress bool) (w io.Writer, finish func() error) {
	buffered := bufio.NewWriterSize(c.w, 64<<10)
	if !compress || !acceptsGzip(c.Header.Values("Accept-Encoding")) {
		return buffered, buffered.Flush
	}
	c.w.Header().Set("Content-Encoding", "gzip")
	c.w.Header().Set("Vary", "Accept-Encoding")
	gz, _ := gzip.NewWriterLevel(buffered, gzip.HuffmanOnly) // Fails only for an unknown level.
	return gz, func() error {
		if err := gz.Close(); err != nil {
			return err
		}
		return buffered.Flush()
	}
}

// acceptsGzip reports whether an Accept-Encoding header takes gzip: RFC 9110,
// 12.5.3.
func acceptsGzip(headers []string) bool {
	for item := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		coding, params, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			return !ok || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
