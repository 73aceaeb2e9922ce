package agent

import (
	"io"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// packedSlack is how much longer than the release its packed form may be.
const packedSlack = 1 << 20

// unpacked returns the release that a request carries, as it is to be written, and
// its size: that of the body, or, if the body is packed with zstd, the one that the
// request announces. Whoever writes it takes no more than that. Unpacking takes
// little more memory than [node.ReleaseWindow]; a stream that needs more is refused.
// The caller closes it.
func unpacked(r *http.Request, body io.Reader) (io.ReadCloser, int64, error) {
	switch r.Header.Get("Content-Encoding") {
	case "":
		if r.ContentLength <= 0 {
			return nil, 0, problem.Invalid.Errorf("the length of a release is required")
		}
		return io.NopCloser(body), r.ContentLength, nil
	case node.ReleasePacked:
		size, err := strconv.ParseInt(r.URL.Query().Get("size"), 10, 64)
		if err != nil || size <= 0 {
			return nil, 0, problem.Invalid.Errorf("the size of a release that is packed is required")
		}
		d, err := zstd.NewReader(io.LimitReader(body, size+packedSlack), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(node.ReleaseWindow))
		if err != nil {
			return nil, 0, err
		}
		return d.IOReadCloser(), size, nil
	}
	return nil, 0, problem.Invalid.Errorf("a release comes as it is, or packed with %s", node.ReleasePacked)
}
