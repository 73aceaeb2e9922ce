package health_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/health"
	"leap.example/services/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is one whose health a test decides.
type service struct{ ill atomic.Pointer[error] }

func (s *service) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (s *service) Check(context.Context) error {
	if err := s.ill.Load(); err != nil {
		return *err
	}
	return nil
}

// serve runs a service with its health socket until the test ends.
func serve(t *testing.T, s *service) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "health") // Short: the path of a socket has a limit.
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "sock")
	g := daemon.Group{Log: slog.New(slog.DiscardHandler)}
	g.Add("mx", s)
	g.AddHealth(socket)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return socket
}

// eventually asks until the answer is as wanted.
func eventually(t *testing.T, socket, want string) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		err = health.Ask(t.Context(), socket)
		if (want == "" && err == nil) || (want != "" && err != nil && strings.Contains(err.Error(), want)) {
			return
		}
	}
	t.Fatalf("still %v, wanted %q", err, want)
}

func TestAsk(t *testing.T) {
	var s service
	socket := serve(t, &s)
	eventually(t, socket, "")
	ill := errors.New("the queue does not move")
	s.ill.Store(&ill)
	eventually(t, socket, "mx: the queue does not move")
	s.ill.Store(nil)
	eventually(t, socket, "")
	if err := health.Ask(t.Context(), socket+"-nobody"); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nobody: %v", err)
	}
}

// gate is one over answers that the test gives, one after the other; the last
// one stays.
func gate(ready, watch time.Duration, answers ...health.Report) (health.Gate, *[]string) {
	var told []string
	n := 0
	return health.Gate{Ready: ready, Watch: watch, Told: func(s string) { told = append(told, s) }, Probe: func(context.Context) map[string]health.Report {
		r := answers[min(n, len(answers)-1)]
		n++
		return map[string]health.Report{"dns": {}, "mx": r}
	}}, &told
}

func TestGate(t *testing.T) {
	ill := errors.New("away")
	long := time.Minute
	for _, test := range []struct {
		name         string
		ready, watch time.Duration
		answers      []health.Report
		want         string
	}{
		{"good at once", long, 0, []health.Report{{}}, ""},
		{"good later, and restarted until then", long, time.Second, []health.Report{{Err: ill}, {Err: ill, Restarts: 1}, {Restarts: 2}}, ""},
		{"never good", 0, long, []health.Report{{Err: ill}}, "not healthy within 0s: mx: away"},
		{"restarts while watched", long, long, []health.Report{{}, {}, {Restarts: 1, Ended: "status 2"}}, "mx has restarted while it was watched: status 2"},
		{"a moment's load", long, 2 * time.Second, []health.Report{{}, {}, {Err: ill}, {}}, ""},
		{"falls ill while watched", long, long, []health.Report{{}, {}, {Err: ill}}, "no longer healthy: mx: away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g, told := gate(test.ready, test.watch, test.answers...)
			err := g.Wait(t.Context())
			var unfit *health.Unfit
			if got := ""; err != nil {
				got = err.Error()
				if got != test.want || !errors.As(err, &unfit) || unfit.Service != "mx" {
					t.Errorf("got %q, wanted %q", got, test.want)
				}
			} else if test.want != "" {
				t.Errorf("good, wanted %q", test.want)
			}
			if test.want == "" && len(*told) == 0 {
				t.Error("nothing was told")
			}
		})
	}
}

func TestGateEnds(t *testing.T) {
	g, _ := gate(time.Minute, time.Minute, health.Report{Err: errors.New("away")})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	if err := g.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
