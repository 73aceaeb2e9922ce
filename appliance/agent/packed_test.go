package agent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/node"
)

// TestPacked pushes releases that are packed: what comes out is limited, by what was
// announced, and compared.
func TestPacked(t *testing.T) {
	w := newBooted(t, "leap_1.1.0.efi", "leap_1.2.0.efi")
	w.start()
	content := efitest.UKI("1.3.0", "kernel", strings.Repeat("x", 1<<20))
	sum := sha256.Sum256(content)
	pack := func(content []byte, window int) []byte {
		t.Helper()
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
		check(t, err)
		_, err = e.Write(content)
		check(t, errors.Join(err, e.Close()))
		return b.Bytes()
	}
	good := pack(content, node.ReleaseWindow)
	for _, test := range []struct {
		name, encoding string
		size           int
		sent           []byte
		want           string
	}{
		{"another encoding", "gzip", len(content), good, "400"},
		{"without its size", node.ReleasePacked, 0, good, "400"},
		{"noise", node.ReleasePacked, len(content), content[:1000], "400"},
		{"cut", node.ReleasePacked, len(content), good[:len(good)/2], "400"},
		{"shorter", node.ReleasePacked, len(content) + 1, good, "400"},
		{"longer", node.ReleasePacked, len(content) - 1, good, "400"},
		{"a large window", node.ReleasePacked, len(content), pack(append(bytes.Repeat([]byte("y"), 2*node.ReleaseWindow), content...), 2*node.ReleaseWindow), "400"},
		{"another one", node.ReleasePacked, len(content), pack(efitest.UKI("1.4.0", "kernel", strings.Repeat("x", 1<<20)), node.ReleaseWindow), "400"},
		{"the good one", node.ReleasePacked, len(content), good, "200"},
	} {
		path := fmt.Sprintf("%s?version=1.3.0&sha256=%s&size=%d", node.PathRelease, hex.EncodeToString(sum[:]), test.size)
		resp, err := w.send(w.deployer(), http.MethodPut, path, test.sent, "Content-Encoding", test.encoding)
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		resp.Body.Close()
		if !strings.HasPrefix(resp.Status, test.want) {
			t.Errorf("%s: %s %s", test.name, resp.Status, body)
		}
	}
	w.files("leap_1.1.0.efi", "leap_1.2.0.efi", "leap_1.3.0+3.efi")
}
