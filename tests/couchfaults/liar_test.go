package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/tests/couchfaults/audit"
	"leap.example/tests/couchfaults/history"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/couchfaults/load"
)

// A liar stands in front of a good node and breaks one promise a few times.
type liar struct {
	*httputil.ReverseProxy
	lie  func(*liar, http.ResponseWriter, *http.Request) bool // Reports whether it has answered.
	told atomic.Int32

	mu   sync.Mutex // Guards old.
	old  map[string][]byte
	gets int
	puts int
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.lie == nil || !l.lie(l, w, r) {
		l.ReverseProxy.ServeHTTP(w, r)
	}
}

var ownDocument = regexp.MustCompile(`^/db/own-`)

// loseWrite acknowledges a write and forgets it.
func loseWrite(l *liar, w http.ResponseWriter, r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method != put || !ownDocument.MatchString(r.URL.Path) {
		return false
	}
	if l.puts++; l.puts != 20 {
		return false
	}
	l.told.Add(1)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"ok":true,"id":"x","rev":"1-%032x"}`, l.puts)
	return true
}

// serveStale answers a read that must be fresh with what an earlier one got.
func serveStale(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if r.Method != get || r.URL.Query().Get("r") != "2" {
		return false
	}
	rec := httptest.NewRecorder()
	l.ReverseProxy.ServeHTTP(rec, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gets++; l.gets == 150 && l.old[r.URL.Path] != nil {
		l.told.Add(1)
		w.Write(l.old[r.URL.Path])
		return true
	} else if l.gets == 150 {
		l.gets-- // The next one, then.
	}
	if _, ok := l.old[r.URL.Path]; !ok && rec.Code == http.StatusOK {
		l.old[r.URL.Path] = rec.Body.Bytes()
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
	return true
}

// forget answers a retry as if it had never heard of op ids: the first try was
// done, its answer lost, and the second meets a conflict of its own making.
func forget(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if r.Method != put || !strings.Contains(r.URL.Path, "/hot-") {
		return false
	}
	l.mu.Lock()
	l.puts++
	twice := l.puts%10 == 0
	l.mu.Unlock()
	if !twice {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	rec := httptest.NewRecorder()
	l.ReverseProxy.ServeHTTP(rec, r)
	if rec.Code == http.StatusCreated {
		l.told.Add(1)
		rec.Code = http.StatusConflict
	}
	w.WriteHeader(rec.Code)
	w.Write(rec.Body.Bytes())
	return true
}

// hideChange leaves a row out of the feed.
func hideChange(l *liar, w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasSuffix(r.URL.Path, "/_changes") {
		return false
	}
	l.ReverseProxy.ServeHTTP(&hiding{w, l}, r)
	return true
}

type hiding struct {
	http.ResponseWriter
	l *liar
}

func (h *hiding) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		h.l.mu.Lock()
		if strings.Contains(line, `"own-`) {
			h.l.gets++
		}
		hide := strings.Contains(line, `"own-`) && h.l.gets%10 == 5
		h.l.mu.Unlock()
		if hide {
			h.l.told.Add(1)
			continue
		}
		if _, err := h.ResponseWriter.Write([]byte(line)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (h *hiding) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Each broken promise is noticed, and a kept one is not called broken.
func TestLiars(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 1})
	start(t, l)
	for _, tt := range []struct {
		name, want string
		lie        func(*liar, http.ResponseWriter, *http.Request) bool
		late       bool // Told to the judge.
	}{
		{"honest", "", nil, false},
		{"lost write", "lost 1 acknowledged write", loseWrite, false},
		{"stale read", "not linearizable", serveStale, false},
		{"forgotten op id", "not linearizable", forget, false},
		{"hidden change", "the feed of changes", hideChange, false},
		{"feed from the beginning", "a feed that goes back", rewind, false},
		{"feed with a hole", "have changed since", skipChange, true},
		{"hidden document", "is not in a fresh list", hideDocument, false},
		{"documents in disorder", "comes behind", disorder, false},
		{"forgotten law", "a law that was not in force", pardon, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, err := url.Parse(l.Nodes[0].URL)
			if err != nil {
				t.Fatal(err)
			}
			lying := &liar{ReverseProxy: httputil.NewSingleHostReverseProxy(target), lie: tt.lie, old: map[string][]byte{}}
			lying.FlushInterval, lying.ErrorLog = -1, log.New(io.Discard, "", 0) // Clients stop in the middle.
			s := httptest.NewServer(lying)
			defer s.Close()
			a := audit.New([]string{s.URL}, lab.Admin, lab.Password)
			defer a.Close()
			do(t, a, put, "/db", "", nil)
			defer do(t, a, http.MethodDelete, "/db", "", nil)
			err = played(t.Context(), lying, a, tt.lie != nil && !tt.late)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("an honest node is called a liar: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("after %d lies: %.300v, want %q", lying.told.Load(), err, tt.want)
			}
		})
	}
}

// played has clients work on the node until lies have been told, if they are
// to be, and judges it.
func played(ctx context.Context, l *liar, a *audit.Auditor, lies bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o := load.Options{URLs: a.URLs, User: a.User, Password: a.Password, Database: "db", Seed: 1, Clients: 6, Hot: 3, Laws: true}
	r := &round{
		plan: &plan{nodes: 1, brief: true, feedPatience: time.Second}, name: "db", rng: rand.New(rand.NewPCG(1, 1)), audit: a, load: load.Start(ctx, o),
	}
	feed := load.Follow(ctx, o)
	err := lab.Poll(ctx, "lies", 30*time.Second, func() error {
		if n := history.Acknowledged(r.load.Log.Ops()); n < 300 || lies && l.told.Load() == 0 {
			return fmt.Errorf("%d acknowledged, %d lies", n, l.told.Load())
		}
		return nil
	})
	if e := r.load.Stop(); err == nil {
		err = e
	}
	if err == nil {
		err = r.judge(ctx, feed)
	}
	return errors.Join(err, feed.Stop())
}
