package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// start is how long a server may take to answer for the first time.
const start = time.Minute

// A Server is a running pouchdb-server, where everyone is administrator. Some
// requests end its process (database.md section 12): it is started again on
// its port, over its data.
type Server struct {
	URL string

	dir    string // Of its databases.
	script string
	port   string
	starts atomic.Int64
	pid    atomic.Int64
}

// Serve starts a pouchdb-server on loopback until the test ends, or ends the
// test where there is none.
func Serve(t testing.TB) *Server {
	t.Helper()
	return ServeIn(t, t.TempDir())
}

// ServeIn is Serve with the directory that the databases lie in.
func ServeIn(t testing.TB, dir string) *Server {
	t.Helper()
	modules := Modules(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: "http://" + ln.Addr().String(), dir: dir, script: filepath.Join(modules, "pouchdb-server", "bin", "pouchdb-server")}
	if _, s.port, err = net.SplitHostPort(ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var said bytes.Buffer // Written by one process after the other, read after them all.
	wg.Go(func() { s.keep(ctx, &said) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if t.Failed() && said.Len() > 0 {
			t.Logf("pouchdb-server said:\n%s", &said)
		}
	})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// keep runs the server, again and again, until ctx is done.
func (s *Server) keep(ctx context.Context, said *bytes.Buffer) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, "node", s.script, "--port", s.port, "--host", "127.0.0.1", "--dir", s.dir, "-n")
		cmd.Dir = s.dir // Of its log and its configuration.
		cmd.Stdout, cmd.Stderr = said, said
		cmd.WaitDelay = time.Second
		s.starts.Add(1)
		err := cmd.Start()
		if err == nil {
			s.pid.Store(int64(cmd.Process.Pid))
			err = cmd.Wait()
		}
		if ctx.Err() == nil {
			fmt.Fprintf(said, "pouchdb-server ended: %v\n", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// Wait waits until the server answers.
func (s *Server) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, start)
	defer cancel()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/", nil)
		if err != nil {
			return err
		}
		resp, err := hc.Do(req)
		if err == nil {
			err = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.Join(err, errors.New(resp.Status))
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pouchdb-server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Starts returns how often the server was started.
func (s *Server) Starts() int { return int(s.starts.Load()) }

// PID returns the process id of the present process.
func (s *Server) PID() int { return int(s.pid.Load()) }
