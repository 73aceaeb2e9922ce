package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/services/daemon"
)

type runFunc func(context.Context) error

func (f runFunc) Run(ctx context.Context) error { return f(ctx) }

var quiet = slog.New(slog.DiscardHandler)

func untilDone(ctx context.Context) error { <-ctx.Done(); return nil }

func TestGroupRestartsWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var starts []time.Duration
		t0 := time.Now()
		g := new(daemon.Group)
		g.Add("flaky", runFunc(func(ctx context.Context) error {
			starts = append(starts, time.Since(t0))
			switch len(starts) {
			case 1:
				return nil // Too early: counts as a failure.
			case 2, 3, 4:
				return errors.New("boom")
			}
			return untilDone(ctx)
		}))
		if err := g.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := "[0s 100ms 300ms 700ms 1.5s]"
		if got := fmt.Sprint(starts); got != want {
			t.Errorf("starts = %v, want %v", got, want)
		}
	})
}

func TestGroupFatalStopsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		g := new(daemon.Group)
		g.Add("bad", runFunc(func(context.Context) error {
			return fmt.Errorf("bad key: %w", daemon.ErrFatal)
		}))
		g.Add("good", runFunc(func(ctx context.Context) error {
			<-ctx.Done()
			stopped = true
			return nil
		}))
		if err := g.Run(t.Context()); !errors.Is(err, daemon.ErrFatal) || !stopped {
			t.Errorf("err = %v, stopped = %v; want fatal, true", err, stopped)
		}
	})
}

// sick is a service that runs but cannot work.
type sick struct{ runFunc }

func (sick) Check(context.Context) error { return errors.New("no database") }

func TestGroupHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := new(daemon.Group)
		g.Add("well", runFunc(untilDone))
		g.Add("sick", sick{untilDone})
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		synctest.Wait()
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		want := `{"sick":{"running":true,"since":"2000-01-01T00:00:00Z","restarts":0,"error":"no database"},` +
			`"well":{"running":true,"since":"2000-01-01T00:00:00Z","restarts":0}}`
		if got := strings.TrimSpace(w.Body.String()); w.Code != 503 || got != want {
			t.Errorf("got %d %s\nwant 503 %s", w.Code, got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// A thing is a section of a configuration.
type thing struct {
	Size int `json:"size"`
}

func (c thing) Validate() error {
	if c.Size < 1 {
		return errors.New("size is required")
	}
	return nil
}

func builder(run runFunc) daemon.Builder {
	return func(c *daemon.Config, _ *slog.Logger) (daemon.Service, error) {
		var cfg thing
		if err := c.Section("thing", &cfg); err != nil {
			return nil, err
		}
		return run, nil
	}
}

func TestMainStatus(t *testing.T) {
	ok := `{"daemon":{},"thing":{"size":1}}`
	for _, tt := range []struct {
		name, config string
		run          runFunc
		want         int
	}{
		{"stopped", ok, func(context.Context) error { return nil }, daemon.ExitStopped},
		{"failed", ok, func(context.Context) error { return errors.New("boom") }, daemon.ExitFailed},
		{"returned", ok, func(context.Context) error { return nil }, daemon.ExitFailed},
		{"fatal", ok, func(context.Context) error { return daemon.ErrFatal }, daemon.ExitStay},
		{"missing section", `{"daemon":{}}`, nil, daemon.ExitStay},
		{"unknown section", `{"daemon":{},"thing":{"size":1},"other":{}}`, nil, daemon.ExitStay},
		{"unknown member", `{"daemon":{},"thing":{"size":1,"colour":2}}`, nil, daemon.ExitStay},
		{"invalid", `{"daemon":{},"thing":{"size":0}}`, nil, daemon.ExitStay},
		{"trailing data", ok + `{}`, nil, daemon.ExitStay},
		{"no file", "", nil, daemon.ExitStay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.json")
			if tt.config != "" {
				if err := os.WriteFile(path, []byte(tt.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.name == "stopped" {
				cancel()
			}
			if got := daemon.Main(ctx, "thing", path, builder(tt.run), quiet); got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestMainHealthReplacesStaleSocket(t *testing.T) {
	dir := t.TempDir()
	sock, path := filepath.Join(dir, "h.sock"), filepath.Join(dir, "config.json")
	config := fmt.Sprintf(`{"daemon":{"listen":%q},"thing":{"size":1}}`, sock)
	if err := errors.Join(os.WriteFile(sock, nil, 0o600), os.WriteFile(path, []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int)
	go func() { status <- daemon.Main(ctx, "thing", path, builder(untilDone), quiet) }()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", sock)
		},
	}}
	var body string
	for deadline := time.Now().Add(5 * time.Second); body == "" && time.Now().Before(deadline); {
		resp, err := client.Get("http://node/")
		if err != nil {
			time.Sleep(5 * time.Millisecond) // Between polls only.
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		body = string(b)
	}
	client.CloseIdleConnections()
	if !strings.Contains(body, `"thing":{"running":true`) {
		t.Errorf("health = %q", body)
	}
	cancel()
	if got := <-status; got != daemon.ExitStopped {
		t.Errorf("status = %d, want %d", got, daemon.ExitStopped)
	}
}

func TestServeWaitsForRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan bool)
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-ctx.Done()
		if r.Context().Err() != nil {
			t.Error("request was cancelled before its grace ended")
		}
		io.WriteString(w, "whole")
	})}
	served := make(chan error)
	go func() { served <- daemon.Serve(ctx, ln, hs) }()
	go func() { <-begun; cancel() }()
	resp, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "whole" {
		t.Errorf("body = %q, %v", b, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A request that outlives the grace is cut, also when it has left its body
// unread: then the end of its connection goes unnoticed.
func TestServeCutsRequests(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	hs := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		defer close(ended)
		cancel()
		<-r.Context().Done()
	})}
	served := make(chan error, 1)
	go func() { served <- daemon.Serve(ctx, ln, hs) }()
	resp, err := http.Post("http://"+ln.Addr().String(), "text/plain", strings.NewReader("unread"))
	if err == nil {
		resp.Body.Close()
		t.Errorf("status %d from a request that was cut", resp.StatusCode)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the request goes on")
	}
}
