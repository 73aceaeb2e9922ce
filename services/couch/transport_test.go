package couch_test

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/services/couch"
	"leap.example/services/protocol/problem"
)

// silent answers with a body that never comes.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: hanging{r.Context()},
	}, nil
}

type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (hanging) Close() error { return nil }

// A node that falls silent is not waited for, neither in a feed nor elsewhere.
func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := couch.OpenTransport(silent{})
		for what, f := range map[string]func() error{
			"a feed":     func() error { _, _, err := couch.Feed(t.Context(), db, "1"); return err },
			"a document": func() error { _, err := db.Users().ByID(t.Context(), user); return err },
		} {
			start := time.Now()
			err := f()
			if !errors.Is(err, problem.Unavailable) {
				t.Errorf("%s: %v, want an unavailable error", what, err)
			}
			if d := time.Since(start); d < 20*time.Second || d > 90*time.Second {
				t.Errorf("%s: it took %v", what, d)
			}
		}
	})
}

func TestCertificateOfTheNode(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	p := newProxy(t, n)
	tls := httptest.NewUnstartedServer(p)
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	tls.StartTLS()
	defer tls.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	check(t, "writing the CA", os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}), 0o600))
	for file, want := range map[string]error{ca: nil, "": problem.Unavailable} {
		db, err := couch.Open(couch.Config{URLs: []string{tls.URL}, User: "admin", PasswordFile: n.file, CAFile: file}, slog.New(slog.DiscardHandler))
		check(t, "opening", err)
		if err := db.Ping(t.Context()); !errors.Is(err, want) {
			t.Errorf("with CA file %q: %v, want %v", file, err, want)
		}
		check(t, "closing", db.Close())
	}
}

// The account's password goes to the node alone.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked elsewhere", r.URL.Path)
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	s := n.server()
	s.URLs = []string{srv.URL}
	if _, err := s.DB(t, "webapp").Users().ByID(t.Context(), user); err == nil {
		t.Error("a redirect is an answer")
	}
}
