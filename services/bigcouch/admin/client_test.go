package admin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/admin"
	"leap.example/services/bigcouch/backup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client returns a client of a node that answers as h does.
func client(t *testing.T, h http.HandlerFunc) *admin.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := admin.New(s.URL+"/", "root", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A backup whose answer is not whole is not kept, however it was cut.
func TestBackupIsWhole(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	sum := sha256.Sum256(content)
	for _, tt := range []struct {
		name    string
		trailer string
		send    []byte
		cut     bool
		want    error
	}{
		{"whole", hex.EncodeToString(sum[:]), content, false, nil},
		{"cut", "", content[:300_000], true, admin.ErrCut},
		{"cut at once", "", nil, true, admin.ErrCut},
		{"without trailer", "", content, false, admin.ErrCut},
		{"less than it was", hex.EncodeToString(sum[:]), content[:400_000], false, admin.ErrCut},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				if user, password, _ := r.BasicAuth(); user != "root" || password != "correct horse" || r.URL.Path != "/_node/_local/_backup" {
					t.Errorf("%s as %q with %q", r.URL.Path, user, password)
				}
				w.Header().Set("Trailer", bigcouch.BackupSumTrailer)
				_, _ = w.Write(tt.send) // The client may have gone.
				_ = http.NewResponseController(w).Flush()
				if tt.cut {
					panic(http.ErrAbortHandler)
				}
				if tt.trailer != "" {
					w.Header().Set(bigcouch.BackupSumTrailer, tt.trailer)
				}
			})
			in, err := c.Backup(t.Context(), []string{"age1"})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			const name = "couch-a-20260101T020304.000Z.backup"
			err = backup.Dir(dir).Put(t.Context(), name, in)
			if err2 := in.Close(); err2 != nil {
				t.Error(err2)
			}
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || (len(left) > 0) != (tt.want == nil) {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for status, want := range map[int]string{401: "does not take this account or password", 503: "answers 503: busy"} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":"x","reason":"busy"}`) // The client may have gone.
		})
		_, err := c.Overview(t.Context())
		var e *admin.Error
		if !errors.As(err, &e) || e.Status != status || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "horse") {
			t.Errorf("%d: %v", status, err)
		}
		if _, err := c.Backup(t.Context(), nil); !errors.As(err, &e) {
			t.Errorf("%d: %v", status, err)
		}
	}
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }) // As above.
	if _, err := c.Compare(t.Context()); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("no JSON: %v", err)
	}
	for _, url := range []string{"", "db:5984", "ftp://db", "http://", "http://user:horse@db"} {
		if _, err := admin.New(url, "root", "x"); err == nil || strings.Contains(err.Error(), "horse") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
