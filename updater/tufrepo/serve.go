package tufrepo

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of what is served.
const (
	maxReaders = 32               // At a time. Others are asked to come later.
	readerWait = 30 * time.Second // How long a reader may take nothing.
)

// Serve returns a handler of the trees with these names below a directory:
// /NAME/metadata/… and /NAME/targets/…, and nothing else. It lists nothing, and asks
// nobody who he is: what it serves is public, and verifies itself.
func Serve(dir string, names ...string) http.Handler {
	readers := make(chan struct{}, maxReaders)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tree, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only read", http.StatusMethodNotAllowed)
			return
		}
		if !slices.Contains(names, tree) || !publicName(name) {
			http.NotFound(w, r)
			return
		}
		select {
		case readers <- struct{}{}:
			defer func() { <-readers }()
		default:
			w.Header().Set("Retry-After", "60")
			http.Error(w, "too many readers", http.StatusServiceUnavailable)
			return
		}
		serveFile(w, r, filepath.Join(dir, tree), name)
	})
}

// serveFile serves one file, from any byte on.
func serveFile(w http.ResponseWriter, r *http.Request, dir, name string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(patient{w, http.NewResponseController(w)}, r, "", time.Time{}, f)
}

// A patient waits for a reader as long as he takes something.
type patient struct {
	http.ResponseWriter
	rc *http.ResponseController
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	if err := p.rc.SetWriteDeadline(time.Now().Add(readerWait)); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}
