package soledad

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const (
	maxStream = 1000      // Blobs in one request.
	maxList   = 256 << 10 // Of the list of them, bytes.
)

// streamBlobs moves many blobs in one request: leap-protocols.md 7.10.
func (s *Server) streamBlobs(c *call) error {
	ns, err := c.namespace()
	if err != nil {
		return err
	}
	switch c.URL.Query().Get("direction") {
	case "download", "": // The original's first version knew no other direction.
		return s.download(c, ns)
	case "upload":
		return s.upload(c, ns)
	}
	return u1db.ErrBadRequest
}

// download answers with the blobs that the body lists: for each the size in 8
// hex digits, the tag, a space, the octets.
func (s *Server) download(c *call, ns string) error {
	list, err := c.read(maxList)
	if err != nil {
		return err
	}
	var ids []string
	if json.Unmarshal(list, &ids) != nil || len(ids) > maxStream {
		return u1db.ErrBadRequest
	}
	room, err := s.hold(c, s.cfg.MaxBlob)
	if err != nil {
		return err
	}
	defer room.free()
	db := s.stores.Open(c.user)
	all, err := db.Blobs(c.Context(), ns)
	if err != nil {
		return noDatabase(err)
	}
	sizes := map[string]int64{}
	for _, b := range all {
		if !b.Deleted {
			sizes[b.ID] = b.Size
		}
	}
	var total int64
	for _, id := range ids {
		size, ok := sizes[id]
		if !ok {
			c.name = id
			return c.blobFailure(problem.NotExist.Errorf("no such blob"))
		}
		total += 8 + int64(base64.URLEncoding.EncodedLen(int(min(tagSize, size)))) + 1 + size
	}
	// With its length, so that an answer that ends early is seen to.
	c.w.Header().Set("Content-Length", strconv.FormatInt(total, 10))
	c.w.Header().Set("Content-Type", "application/octet-stream")
	w := bufio.NewWriterSize(c.w, 64<<10)
	for _, id := range ids {
		data, err := db.Blob(c.Context(), ns, id)
		if err == nil && int64(len(data)) != sizes[id] {
			err = errors.New("a blob has another size than its description")
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%08x%s ", len(data), tagOf(data))
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// An item is one entry of the first line of an upload: [id, size].
type item struct {
	id   string
	size int64
}

// parseManifest reads the first line of an upload, with sizes up to limit.
func parseManifest(line []byte, limit int64) ([]item, error) {
	var raw [][]any
	if json.Unmarshal(line, &raw) != nil || len(raw) > maxStream {
		return nil, u1db.ErrBadRequest
	}
	items := make([]item, len(raw))
	for i, pair := range raw {
		if len(pair) != 2 {
			return nil, u1db.ErrBadRequest
		}
		id, isText := pair[0].(string)
		size, isNumber := pair[1].(float64)
		if !isText || !isNumber || !validName(id) || size < 0 || size != float64(int64(size)) {
			return nil, u1db.ErrBadRequest
		}
		if size > float64(limit) {
			return nil, u1db.ErrDocumentTooBig
		}
		items[i] = item{id, int64(size)}
	}
	return items, nil
}

// upload stores the blobs that the first line of the body lists and the rest
// holds. One that is there already is passed over, so that an upload that broke
// off may be repeated.
func (s *Server) upload(c *call, ns string) error {
	line, err := c.readLine(maxList)
	if err != nil {
		return err
	}
	items, err := parseManifest(line, s.cfg.MaxBlob)
	if err != nil {
		return err
	}
	var largest int64
	for _, it := range items {
		largest = max(largest, it.size)
	}
	room, err := s.hold(c, largest)
	if err != nil {
		return err
	}
	defer room.free()
	for _, it := range items {
		data := make([]byte, it.size)
		if _, err := io.ReadFull(c.body, data); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return u1db.ErrBadRequest
		} else if err != nil {
			return err
		}
		if err := s.store(c, ns, it.id, data); err != nil && !errors.Is(err, problem.Exist) {
			return c.blobFailure(err)
		}
	}
	return c.text(http.StatusOK, "")
}

// readLine reads a line of at most limit bytes, without its end.
func (c *call) readLine(limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := c.body.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit || err == io.EOF:
			return nil, u1db.ErrBadRequest
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
