package helper_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/policy"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// paper is a Path that writes down what it is asked.
type paper struct {
	mu      sync.Mutex
	applied []policy.Policy
	fails   error
}

func (p *paper) Apply(_ context.Context, q policy.Policy) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = append(p.applied, q)
	return p.fails
}

func (p *paper) Stats(context.Context) (policy.Stats, error) {
	return policy.Stats{LastHandshake: time.Unix(1772600707, 0).UTC(), RX: 7, TX: 9, Mode: policy.Tunnel}, nil
}

func (p *paper) Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	if addr.Port() == 1 {
		return nil, problem.Permission.Errorf("not this one")
	}
	return new(net.Dialer).DialContext(ctx, network, addr.String())
}

func (p *paper) Close() error { return nil }

// told returns what was applied.
func (p *paper) told() []policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.applied)
}

func (p *paper) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = err
}

var program = helper.Program{Version: "1.4.0", Path: "/opt/leap/versions/1.4.0/leapc"}

// start runs a server for this user and returns its configuration and Path.
func start(t *testing.T, change func(*helper.Config)) (helper.Config, *paper) {
	t.Helper()
	dir := t.TempDir()
	cfg := helper.Config{Socket: filepath.Join(dir, "run", "helper.sock"), State: filepath.Join(dir, "state"), UIDs: []uint32{uint32(os.Getuid())}, Program: program}
	if change != nil {
		change(&cfg)
	}
	p := &paper{}
	s := helper.NewServer(cfg, p, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("unixpacket", cfg.Socket)
		if err == nil {
			c.Close()
			return cfg, p
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestPath(t *testing.T) {
	cfg, p := start(t, nil)
	c := helper.NewClient(cfg.Socket)
	if got, err := c.Program(t.Context()); err != nil || got != program {
		t.Errorf("it is %+v, %v", got, err)
	}
	if v, err := c.Version(t.Context()); err != nil || v != helper.Version {
		t.Errorf("version %d, %v", v, err)
	}
	want := policy.Policy{Reach: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:443")}, LAN: true}
	if err := c.Apply(t.Context(), want); err != nil || !reflect.DeepEqual(p.told(), []policy.Policy{want}) {
		t.Errorf("applied %+v, %v", p.told(), err)
	}
	p.fail(problem.Invalid.Errorf("no such mode"))
	if err := c.Apply(t.Context(), want); !errors.Is(err, problem.Invalid) || err.Error() != "no such mode" {
		t.Errorf("a failure becomes %v", err)
	}
	if s, err := c.Stats(t.Context()); err != nil || s.RX != 7 || s.TX != 9 || s.LastHandshake.Unix() != 1772600707 {
		t.Errorf("stats %+v, %v", s, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestEpoch: a caller notices that the helper is not the one that it told.
func TestEpoch(t *testing.T) {
	var epochs []uint64
	for range 2 {
		cfg, _ := start(t, nil)
		for range 2 {
			s, err := helper.NewClient(cfg.Socket).Stats(t.Context())
			if err != nil || s.Mode != policy.Tunnel {
				t.Errorf("%+v, %v", s, err)
			}
			epochs = append(epochs, s.Epoch)
		}
	}
	if epochs[0] == 0 || epochs[0] != epochs[1] || epochs[1] == epochs[2] {
		t.Errorf("the helpers' epochs are %v", epochs)
	}
}

func TestDial(t *testing.T) {
	cfg, _ := start(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := helper.NewClient(cfg.Socket)
	conn, err := c.Dial(t.Context(), "tcp", ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := other.Read(buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q arrives, %v", buf, err)
	}
	// The connection has deadlines, so it is no blocking one.
	if err := conn.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading: %v", err)
	}
	if _, err := c.Dial(t.Context(), "tcp", netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, problem.Permission) {
		t.Errorf("a refusal becomes %v", err)
	}
}

func TestBoot(t *testing.T) {
	cfg, _ := start(t, nil)
	c := helper.NewClient(cfg.Socket)
	for _, block := range []bool{false, true, true, false, false} {
		if err := c.BlockAtBoot(t.Context(), block); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(cfg.State, helper.BootFile)); (err == nil) != block {
			t.Errorf("block %v: %v", block, err)
		}
	}
}

func TestNoHelper(t *testing.T) {
	c := helper.NewClient(filepath.Join(t.TempDir(), "none"))
	if err := c.Apply(t.Context(), policy.Policy{}); !errors.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "vpn-helper install") {
		t.Errorf("without a helper: %v", err)
	}
}

func TestHostile(t *testing.T) {
	cfg, p := start(t, nil)
	for name, question := range map[string]string{
		"no JSON":   "hello",
		"nothing":   "{}",
		"two":       `{"stats":{},"version":{}}`,
		"more":      `{"stats":{}}{"stats":{}}`,
		"an option": `{"apply":{"mode":"open","script":"/tmp/up.sh"}}`,
		"a mode":    `{"apply":{"mode":"ajar"}}`,
		"too long":  `{"stats":{}` + strings.Repeat(" ", 128<<10) + "}",
	} {
		c, err := net.Dial("unixpacket", cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(question)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), `"type":"invalid"`) {
			t.Errorf("%s: %s, %v", name, buf[:n], err)
		}
		c.Close()
	}
	if applied := p.told(); len(applied) > 0 {
		t.Errorf("applied %+v", applied)
	}
}

// TestDescriptors: files that come with a question are refused and closed.
func TestDescriptors(t *testing.T) {
	cfg, p := start(t, nil)
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: cfg.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, _, err := c.WriteMsgUnix([]byte(`{"apply":{"mode":"open"}}`), unix.UnixRights(int(w.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	w.Close()
	buf := make([]byte, 1000)
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(buf); err != nil || !strings.Contains(string(buf[:n]), `"type":"invalid"`) || len(p.told()) > 0 {
		t.Errorf("%s, %v", buf[:n], err)
	}
	// Nobody else has the pipe's other end.
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.Read(buf); err != io.EOF {
		t.Errorf("the pipe is not closed: %v", err)
	}
}

// TestSecond: two helpers on one socket are a mistake.
func TestSecond(t *testing.T) {
	cfg, p := start(t, nil)
	err := helper.NewServer(cfg, p, slog.New(slog.DiscardHandler)).Run(t.Context())
	if !errors.Is(err, daemon.ErrFatal) {
		t.Errorf("a second one: %v", err)
	}
}
