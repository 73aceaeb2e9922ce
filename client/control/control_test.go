package control_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leap.example/client/control"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// fake is a Backend that remembers what it was asked.
type fake struct {
	control.Backend
	login control.Credentials
}

func (f *fake) Status(context.Context) control.Status {
	return control.Status{Schema: control.Schema, State: control.StateLocked}
}

func (f *fake) Login(_ context.Context, q control.Credentials) error {
	f.login = q
	switch q.Password {
	case "wrong":
		return problem.Unauthenticated.Errorf("wrong password")
	case "disk":
		return errors.New("disk full")
	}
	return nil
}

func (f *fake) Keys(context.Context) ([]control.Key, error) {
	return []control.Key{{Address: "all"}}, nil
}

func (f *fake) FindKey(_ context.Context, address string) (control.Key, error) {
	return control.Key{Address: address}, nil
}

// fakeVPN repeats what it was asked.
type fakeVPN struct{ control.VPN }

func (fakeVPN) VPNStatus(context.Context) control.VPNStatus {
	return control.VPNStatus{State: control.VPNConnected}
}

func (fakeVPN) VPNUp(_ context.Context, q control.VPNUpRequest) error {
	return problem.Unavailable.Errorf("no %s", q.Proxy)
}

func (fakeVPN) VPNExport(_ context.Context, q control.VPNChoice) (control.VPNConfig, error) {
	return control.VPNConfig{Gateway: q.Use}, nil
}

// fakeUpdates is a daemon that cannot start again.
type fakeUpdates struct{}

func (fakeUpdates) UpdateStatus(context.Context) control.UpdateStatus {
	return control.UpdateStatus{Schema: control.Schema, Version: "1.4.0", Arguments: []string{"daemon"}}
}

func (fakeUpdates) UpdateRestart(context.Context) error {
	return problem.Unavailable.Errorf("there is nothing to start")
}

func TestUpdates(t *testing.T) {
	c, _ := start(t, &fake{})
	if s, err := c.UpdateStatus(t.Context()); err != nil || s.Version != "1.4.0" || len(s.Arguments) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := c.UpdateRestart(t.Context()); !errors.Is(err, problem.Unavailable) {
		t.Errorf("restart: %v", err)
	}
}

func start(t *testing.T, b control.Backend) (*control.Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "leapc.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- control.NewServer(path, b, fakeVPN{}, fakeUpdates{}, slog.New(slog.DiscardHandler)).Run(ctx)
	}()
	c := control.Dial(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := c.Status(t.Context()); err == nil {
			return c, path
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestCalls(t *testing.T) {
	f := &fake{}
	c, path := start(t, f)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v; want 0600", info.Mode(), err)
	}
	if s, err := c.Status(t.Context()); err != nil || s.State != control.StateLocked {
		t.Errorf("status = %+v, %v", s, err)
	}
	if err := c.Login(t.Context(), control.Credentials{Login: "alice", Password: "right"}); err != nil || f.login.Login != "alice" {
		t.Errorf("login: %v, the backend saw %q", err, f.login.Login)
	}
	if err := c.Login(t.Context(), control.Credentials{Password: "wrong"}); !errors.Is(err, problem.Unauthenticated) || err.Error() != "wrong password" {
		t.Errorf("wrong password: %v", err)
	}
	if err := c.Login(t.Context(), control.Credentials{Password: "disk"}); !errors.Is(err, problem.Internal) || err.Error() != "disk full" {
		t.Errorf("internal error: %v", err)
	}
	if k, err := c.FindKey(t.Context(), "bob+x@example.org"); err != nil || k.Address != "bob+x@example.org" {
		t.Errorf("FindKey = %+v, %v", k, err)
	}
	if k, err := c.Keys(t.Context()); err != nil || len(k) != 1 || k[0].Address != "all" {
		t.Errorf("Keys = %+v, %v", k, err)
	}
}

func TestVPNCalls(t *testing.T) {
	c, _ := start(t, &fake{})
	if s, err := c.VPNStatus(t.Context()); err != nil || s.State != control.VPNConnected {
		t.Errorf("status = %+v, %v", s, err)
	}
	if err := c.VPNUp(t.Context(), control.VPNUpRequest{Proxy: "proxy"}); !errors.Is(err, problem.Unavailable) || err.Error() != "no proxy" {
		t.Errorf("up: %v", err)
	}
	if g, err := c.VPNExport(t.Context(), control.VPNChoice{Use: "here"}); err != nil || g.Gateway != "here" {
		t.Errorf("export = %+v, %v", g, err)
	}
}

func TestSecondDaemonStops(t *testing.T) {
	_, path := start(t, &fake{})
	err := control.NewServer(path, &fake{}, fakeVPN{}, fakeUpdates{}, slog.New(slog.DiscardHandler)).Run(t.Context())
	if !errors.Is(err, daemon.ErrFatal) {
		t.Errorf("a second daemon on one socket: %v, want fatal", err)
	}
}

func TestNotRunning(t *testing.T) {
	c := control.Dial(filepath.Join(t.TempDir(), "none.sock"))
	defer c.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("status = %v, want %v", err, control.ErrNotRunning)
	}
}
