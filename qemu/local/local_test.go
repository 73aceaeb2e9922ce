package local_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/gpt"
	"leap.example/image/disk"
	"leap.example/qemu/cluster"
	"leap.example/qemu/local"
	"leap.example/qemu/vm"
	"leap.example/qemu/vnet"
)

const (
	agentPort = 4499
	patience  = 30 * time.Second
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes a cluster of one node, on a QEMU that is none, whose agent echoes.
func open(t *testing.T, dir string) *cluster.Cluster {
	t.Helper()
	t.Setenv(as, "1")
	release, image := efitest.UKI("1.2.3", "kernel", "files"), filepath.Join(t.TempDir(), "image")
	check(t, disk.Write(t.Context(), image, disk.Options{UKI: release, BootLoader: efitest.Program(".text", "boot loader"), Perm: gpt.LeastPerm}, nil))
	at := netip.MustParseAddr("10.77.0.11")
	c, err := cluster.Open(t.Context(), cluster.Config{
		Names: map[string][]netip.Addr{"one.demo.example": {at}},
		Dir:   dir, Release: release, Image: image, QEMU: vm.Options{Program: os.Args[0], Accel: vm.TCG},
		Nodes: []cluster.NodeConfig{{Name: "one", Address: netip.PrefixFrom(at, 24), AgentPort: agentPort, Identity: make([]byte, 512)}},
	})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	h, err := c.LAN().Host("guest", vnet.HostConfig{Addrs: []netip.Prefix{netip.PrefixFrom(at, 24)}})
	check(t, err)
	l, err := h.ListenTCP(netip.AddrPortFrom(at, agentPort))
	check(t, err)
	done := make(chan bool)
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn) // Who asked has gone.
				_ = conn.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close() // Its end is seen below.
		<-done
		check(t, h.Close())
	})
	return c
}

// serve serves a cluster until it is ended, and returns a client.
func serve(t *testing.T, ctx context.Context, dir string, c *cluster.Cluster) (*local.Client, <-chan error) {
	t.Helper()
	ended := make(chan error, 1)
	free, err := local.Lock(dir)
	check(t, err)
	go func() {
		err := local.Serve(ctx, dir, "1.2.3", c)
		free()
		ended <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		client, _, err := local.Find(t.Context(), dir)
		if err == nil {
			return client, ended
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	if _, _, err := local.Find(t.Context(), dir); !errors.Is(err, local.ErrOff) {
		t.Errorf("before it runs: %v", err)
	}
	c := open(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, ended := serve(t, t.Context(), dir, c)
	if _, err := local.Lock(dir); !errors.Is(err, local.ErrRuns) {
		t.Errorf("it can be served twice: %v", err)
	}
	power := func() bool {
		lab, err := client.Lab(ctx)
		check(t, err)
		if len(lab.Nodes) != 1 || lab.Nodes[0].Name != "one" || lab.Nodes[0].Address != "10.77.0.11" || lab.PID != os.Getpid() || lab.Release != "1.2.3" {
			t.Fatalf("%+v", lab)
		}
		return lab.Nodes[0].On
	}
	if power() {
		t.Error("it is on before it was started")
	}
	check(t, client.Start(ctx))
	if !power() {
		t.Error("it is not on")
	}
	for name, err := range map[string]error{"start": client.Start(ctx, "two"), "stop": client.Stop(ctx, "two")} {
		if err == nil || !strings.Contains(err.Error(), "no node two") {
			t.Errorf("%s: %v", name, err)
		}
	}

	conn, err := client.Dial(ctx, "tcp", "10.77.0.11:4499")
	check(t, err)
	_, err = conn.Write([]byte("hello"))
	check(t, err)
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("a connection has no end of its own")
	}
	check(t, half.CloseWrite())
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	check(t, conn.Close())
	doors(t, ctx, client)
	if _, err := client.Dial(ctx, "tcp", "10.77.0.11:1"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port where nobody listens: %v", err)
	}
	if _, err := client.Dial(ctx, "udp", "10.77.0.11:53"); !errors.As(err, new(net.UnknownNetworkError)) {
		t.Errorf("datagrams: %v", err)
	}

	check(t, client.Stop(ctx, "one"))
	if power() {
		t.Error("it is on after it was stopped")
	}
	check(t, client.Start(ctx, "one"))
	open, err := client.Dial(ctx, "tcp", "10.77.0.11:4499") // It does not keep the end from coming.
	check(t, err)
	check(t, client.End(ctx, dir))
	check(t, <-ended)
	check(t, open.Close())
	if _, _, err := local.Find(t.Context(), dir); !errors.Is(err, local.ErrOff) || c.Node("one").On() {
		t.Errorf("after the end: %v", err)
	}
}

// doors opens doors, also one where somebody else listens until he goes.
func doors(t *testing.T, ctx context.Context, client *local.Client) {
	t.Helper()
	at := netip.MustParseAddr("10.77.0.11")
	check(t, client.Open(ctx, []netip.AddrPort{netip.AddrPortFrom(at, agentPort)}))
	lab, err := client.Lab(ctx)
	check(t, err)
	here := lab.Nodes[0].Here // 127.77.0.11, unless another lab is there.
	if !strings.HasPrefix(here, "127.") || !strings.HasSuffix(here, ".0.11") {
		t.Fatalf("it is at %q", here)
	}
	taken, err := net.Listen("tcp", net.JoinHostPort(here, "4498"))
	check(t, err)
	both := []netip.AddrPort{netip.AddrPortFrom(at, agentPort), netip.AddrPortFrom(at, 4498)}
	for range 2 {
		check(t, client.Open(ctx, both))
	}
	lab, err = client.Lab(ctx)
	check(t, err)
	m := lab.Nodes[0]
	if m.Here != here || !slices.Equal(m.Doors, []uint16{agentPort}) || !strings.Contains(m.Shut, "in use") || lab.Resolver == "" {
		t.Fatalf("%+v, resolver %q", m, lab.Resolver)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(m.Here, "4499"))
	check(t, err)
	_, err = conn.Write([]byte("hello"))
	check(t, err)
	var echo [5]byte
	_, err = io.ReadFull(conn, echo[:])
	check(t, errors.Join(err, conn.Close()))
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", lab.Resolver)
	}}
	found, err := r.LookupNetIP(ctx, "ip4", "one.demo.example.")
	if err != nil || !slices.Equal(found, []netip.Addr{netip.MustParseAddr(m.Here)}) {
		t.Errorf("its name is at %v, %v", found, err)
	}
	check(t, taken.Close())
	check(t, client.Open(ctx, both))
	lab, err = client.Lab(ctx)
	if m := lab.Nodes[0]; err != nil || m.Shut != "" || len(m.Doors) != 2 {
		t.Errorf("once the port is free: %+v, %v", m, err)
	}
}

// TestKilled finds the file of a process that is no more.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte(`{"socket": "`+filepath.Join(dir, "gone")+`"}`), 0o600))
	if _, _, err := local.Find(t.Context(), dir); !errors.Is(err, local.ErrOff) {
		t.Errorf("nobody listens: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, "lab.json"), []byte(`{`), 0o600))
	if _, _, err := local.Find(t.Context(), dir); err == nil || errors.Is(err, local.ErrOff) {
		t.Errorf("half a file: %v", err)
	}
}

// TestSignal ends a lab by the end of its context.
func TestSignal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	c := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	client, ended := serve(t, ctx, dir, c)
	check(t, client.Start(t.Context()))
	cancel()
	check(t, <-ended)
	if c.Node("one").On() {
		t.Error("the machine goes on")
	}
}
