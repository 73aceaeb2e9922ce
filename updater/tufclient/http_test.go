package tufclient_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// overHTTP has the world's client fetch from a server on loopback.
func overHTTP(t *testing.T, w *world) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(w.mirror)
	source, err := tufclient.NewHTTP(server.URL+"/some/repo", nil)
	must(t, err)
	w.cfg.Repositories[0].Sources = []tufclient.Source{source}
	t.Cleanup(func() { source.Close(); server.Close() })
	return server
}

// TestHTTP updates from a server, and is refused what servers can do wrong.
func TestHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("another host was asked")
	}))
	defer elsewhere.Close()
	status := func(n int) func(http.ResponseWriter, *http.Request, string) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ string) bool { w.WriteHeader(n); return true }
	}
	for name, test := range map[string]struct {
		of     string // The file that is answered otherwise.
		answer func(w http.ResponseWriter, req *http.Request, name string) bool
		want   error
	}{
		"good": {},
		"redirect to itself": {"leapc", func(w http.ResponseWriter, req *http.Request, name string) bool {
			if strings.Contains(req.URL.Path, "moved") {
				return false
			}
			http.Redirect(w, req, "/moved/repo/"+name, http.StatusFound)
			return true
		}, nil},
		"redirect to another host": {"timestamp", func(w http.ResponseWriter, req *http.Request, name string) bool {
			http.Redirect(w, req, elsewhere.URL+"/repo/"+name, http.StatusFound)
			return true
		}, tufclient.ErrRedirect},
		"redirect to another scheme": {"timestamp", func(w http.ResponseWriter, req *http.Request, name string) bool {
			http.Redirect(w, req, "https://"+req.Host+"/repo/"+name, http.StatusMovedPermanently)
			return true
		}, tufclient.ErrRedirect},
		"redirect of a target": {"leapc", func(w http.ResponseWriter, req *http.Request, name string) bool {
			http.Redirect(w, req, elsewhere.URL+"/repo/"+name, http.StatusTemporaryRedirect)
			return true
		}, tufclient.ErrRedirect},
		"redirect without an end": {"timestamp", func(w http.ResponseWriter, req *http.Request, _ string) bool {
			http.Redirect(w, req, req.URL.Path, http.StatusFound)
			return true
		}, tufclient.ErrRedirect},
		"gzip": {"leapc", func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, tuftest.Endless{}, 8<<20)
			_ = z.Close()
			return true
		}, tufclient.ErrEncoding},
		"gzip of metadata": {"timestamp", func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Encoding", "br")
			return true
		}, tufclient.ErrEncoding},
		"endless": {"leapc", func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			for range 1 << 10 {
				if _, err := io.CopyN(w, tuftest.Endless{}, 64<<10); err != nil {
					break
				}
			}
			return true
		}, tufclient.ErrLength},
		"claims a lot": {"timestamp", func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Length", "1099511627776")
			w.WriteHeader(http.StatusOK)
			return true
		}, tufclient.ErrLength},
		"no ranges": {"leapc", func(w http.ResponseWriter, req *http.Request, _ string) bool {
			req.Header.Del("Range")
			return false
		}, nil},
		"another range": {"leapc", func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}, tufclient.ErrLength},
		"forbidden root":   {"2.root", status(http.StatusForbidden), errAny},
		"server error":     {"timestamp", status(http.StatusInternalServerError), errAny},
		"no timestamp":     {"timestamp", status(http.StatusNotFound), fs.ErrNotExist},
		"empty answer":     {"timestamp", status(http.StatusNoContent), errAny},
		"breaks off at it": {"timestamp", func(http.ResponseWriter, *http.Request, string) bool { panic(http.ErrAbortHandler) }, errAny},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			overHTTP(t, w)
			w.next()
			must(t, os.WriteFile(w.installed()+".part", content("1.1.0")[:1000], 0o700))
			w.mirror.Answer = func(rw http.ResponseWriter, req *http.Request, name string) bool {
				for _, h := range []string{"Cookie", "From", "If-None-Match"} {
					if req.Header.Get(h) != "" {
						t.Errorf("it sends %s", h)
					}
				}
				return test.answer != nil && strings.Contains(name, test.of) && test.answer(rw, req, name)
			}
			before := w.kept()
			err := w.update("1.1.0")
			if test.want == nil {
				must(t, err)
				if w.kept()[w.installed()] != string(content("1.1.0")) {
					t.Error("1.1.0 is not installed")
				}
				return
			}
			if err == nil || !errors.Is(err, test.want) && test.want != errAny {
				t.Errorf("%v, want %v", err, test.want)
			}
			after := w.kept()
			if test.of == "leapc" { // What came before was good, and is kept.
				before, after = map[string]string{"": before[w.installed()]}, map[string]string{"": after[w.installed()]}
			}
			if !maps.Equal(before, after) {
				t.Error("what is trusted or installed has changed")
			}
		})
	}
}

// errAny stands for any error.
var errAny = errors.New("any error")

// TestResumeHTTP asks for the rest only.
func TestResumeHTTP(t *testing.T) {
	w := newWorld(t)
	overHTTP(t, w)
	w.next()
	must(t, os.WriteFile(w.installed()+".part", content("1.1.0")[:1000], 0o700))
	asked := ""
	w.mirror.Answer = func(_ http.ResponseWriter, req *http.Request, name string) bool {
		if strings.Contains(name, "leapc") {
			asked += req.Header.Get("Range")
		}
		return false
	}
	must(t, w.update("1.1.0"))
	if asked != "bytes=1000-" {
		t.Errorf("it asked for %q", asked)
	}
}

// TestEncodedURL expects the percent sign of a role's name to be one in the name
// of the file that is asked for.
func TestEncodedURL(t *testing.T) {
	w := newWorld(t)
	overHTTP(t, w)
	const name = "a/b ä"
	w.repo.Roles["targets"].Signed.Delegations.Roles = nil
	w.repo.Delegate("targets", metadata.DelegatedRole{Name: name, Threshold: 1, Paths: []string{"client/*/*/*"}}, tuftest.NewKey(t))
	w.repo.Roles[name].Signed.Targets = w.repo.Roles["release"].Signed.Targets
	w.next()
	must(t, w.update("1.1.0"))
	asked, _ := w.mirror.Asked()
	if want := "metadata/1.a%2Fb%20%C3%A4.json"; !strings.Contains(fmt.Sprint(asked), want) {
		t.Errorf("%q were asked for, not %s", asked, want)
	}
}

func TestURLs(t *testing.T) {
	for _, u := range []string{"", "example.org", "ftp://example.org/", "https://", "https://user:secret@example.org/", "https://example.org/?q", "https://example.org/#f", "http://[::1"} {
		_, err := tufclient.NewHTTP(u, nil)
		if err == nil {
			t.Errorf("%q is taken", u)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("a password is told: %v", err)
		}
	}
}

// TestDir updates from a directory, and reads nothing outside it.
func TestDir(t *testing.T) {
	w := newWorld(t)
	w.next()
	dir := t.TempDir()
	for name, data := range w.repo.Files {
		path := filepath.Join(dir, "repo", name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, data, 0o600))
	}
	source := tufclient.Dir(filepath.Join(dir, "repo"))
	w.cfg.Repositories[0].Sources = []tufclient.Source{source}
	must(t, os.WriteFile(w.installed()+".part", content("1.1.0")[:1000], 0o700))
	must(t, w.update("1.1.0"))

	must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600))
	must(t, os.Symlink("../outside", filepath.Join(dir, "repo", "link")))
	for name, want := range map[string]error{"../outside": errAny, "link": errAny, "metadata": errAny, "nothing": fs.ErrNotExist, "metadata/1.root.json": tufclient.ErrLength} {
		_, err := source.Fetch(t.Context(), name, 10, 0)
		if err == nil || !errors.Is(err, want) && want != errAny {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// TestStockClient reads what this package reads with go-tuf's own client.
func TestStockClient(t *testing.T) {
	w := newWorld(t)
	w.repo.NextRoot(func() { w.repo.SetKeys("root", 2, tuftest.NewKey(t), tuftest.NewKey(t)) })
	w.next()
	server := overHTTP(t, w)
	must(t, w.update("1.1.0"))

	cfg, err := config.New(server.URL+"/repo/metadata", w.repo.RootFile(1))
	must(t, err)
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = t.TempDir(), t.TempDir()
	cfg.RemoteTargetsURL = server.URL + "/repo/targets"
	u, err := updater.New(cfg)
	must(t, err)
	must(t, u.Refresh())
	info, err := u.GetTargetInfo(release("1.1.0").Path())
	must(t, err)
	if info.Length != w.target.Length || string(info.Hashes["sha256"]) != string(w.target.SHA256[:]) {
		t.Errorf("it finds %d bytes, %x", info.Length, info.Hashes["sha256"])
	}
	http.DefaultClient.CloseIdleConnections()
}
