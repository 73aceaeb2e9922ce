package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/agent"
	"leap.example/appliance/keystore"
	"leap.example/appliance/node"
	"leap.example/image/deploy"
)

// nothing supervises no services.
type nothing struct{}

func (nothing) List(context.Context) (map[string]node.ServiceStatus, error) { return nil, nil }
func (nothing) Start(context.Context, string) error                         { return nil }
func (nothing) Stop(context.Context, string) error                          { return nil }
func (nothing) Restart(context.Context, string) error                       { return nil }
func (nothing) Reboot(context.Context) error                                { return nil }

func (nothing) Logs(_ context.Context, _ string, _ int, _ bool, f func(node.LogLine) error) error {
	return f(node.LogLine{Service: "agent", Text: "line"})
}

// TestRealAgent pushes to the agent that runs on nodes, without services and
// with a network that only breaks.
func TestRealAgent(t *testing.T) {
	w := newWorld(t, "a")
	id := w.agents["a"].Identity
	dir := t.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "keys"))
	check(t, err)
	a := agent.New(agent.Config{Identity: id, Release: "1.0.0", Dir: filepath.Join(dir, "node"), RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), Boot: node.Boot{Perm: true}}, keys, agent.Parts{
		Firewall: func(context.Context, node.Document) error { return nil },
		Network: func(_ context.Context, n node.Network) error {
			if n.Interfaces[0].Name == "broken" {
				return errors.New("there is no such card")
			}
			return nil
		},
		Mesh:       func(context.Context, *node.Mesh, []byte) error { return nil },
		Tunnel:     func(context.Context, node.Document) error { return nil },
		Clock:      func(context.Context, node.Time, time.Duration) error { return nil },
		ClockState: func() node.Clock { return node.Clock{Known: true} }, ClockSet: func(context.Context) error { return nil }, NetworkTrouble: func() []string { return nil },
		Supervisor: nothing{},
		Disk:       func() node.Disk { return agent.Measure(dir) },
		Check:      func(string, []byte) error { return nil },
		MeshKey:    func() ([]byte, error) { return []byte("private"), nil },
		MeshPublic: func([]byte) (string, error) { return "public", nil },
	}, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() { done <- a.Serve(ctx, ln) }()
	defer func() {
		cancel()
		check(t, errors.Join(<-done, <-done))
	}()

	access := w.access(node.RoleDeploy)
	target := deploy.Target{Client: access.NewClient(ln.Addr().String(), node.ServerName("a", "demo.example")), Document: document("a")}
	target.Document.Agent.OperatorCA = id.Agent.OperatorCA
	target.Document.Gate = node.Gate{Ready: node.Duration(30 * time.Second), Watch: node.Duration(100 * time.Millisecond)}
	w.one(target, deploy.Good, 1)
	w.one(target, deploy.Unchanged, 1)
	target.Document.Network.Interfaces[0].Router = true // The network changes: it wants to be found again.
	w.one(target, deploy.Good, 2)
	target.Document.Network.Interfaces[0].Name = "broken"
	if r := w.one(target, deploy.Bad, 3); !strings.Contains(r.Error, "there is no such card") {
		t.Errorf("got %+v", r)
	}
	s, err := target.Client.Status(t.Context())
	if err != nil || s.Current.Number != 2 || s.Highest != 3 || len(s.Secrets) < 2 || s.MeshKey != "public" {
		t.Errorf("status %+v, %v", s, err)
	}
	for _, set := range []bool{false, true} {
		if now, err := target.Client.Clock(t.Context(), set); err != nil || !now.Known {
			t.Errorf("its clock is %+v, %v", now, err)
		}
	}
	lines := 0
	check(t, target.Client.Logs(t.Context(), "", 10, false, func(node.LogLine) error { lines++; return nil }))
	if lines != 1 {
		t.Errorf("%d lines", lines)
	}
}
