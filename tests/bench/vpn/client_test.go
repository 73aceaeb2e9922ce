package vpn_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/enroll"
	"leap.example/client/vpn/helper"
	"leap.example/client/vpn/kernel"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// built is where leapc was built. Empty: nowhere.
var built string

// program is leapc, built once where it was not given.
var program = sync.OnceValues(func() (string, error) {
	if *leapc != "" {
		return *leapc, nil
	}
	var err error
	if built, err = os.MkdirTemp("", "vpnbench"); err != nil {
		return "", err
	}
	path := filepath.Join(built, "leapc")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "leap.example/client/cmd/leapc")
	cmd.Stderr = os.Stderr
	return path, cmd.Run()
})

// A user is a computer with the helper.
type user struct {
	*nettest.Peer
	helper *process
	ask    *helper.Client
	about  connectAbout
}

// helperAbout is what a helper's process is told.
type helperAbout struct{ Program, Socket, State string }

// user makes a computer with a certificate for a plan.
func (w *world) user(name string, plan lease.Plan, delay time.Duration) *user {
	w.Helper()
	path, err := program()
	w.must(err)
	u := &user{Peer: w.join(delay)}
	u.about = connectAbout{Socket: filepath.Join(w.dir, name+".sock"), CA: w.pki.servers, Pair: w.pki.user(plan)}
	cmd := w.role("helper", name, helperAbout{path, u.about.Socket, filepath.Join(w.dir, name+"-state")})
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	u.helper = w.start(u.Peer, cmd)
	u.ask = helper.NewClient(u.about.Socket)
	nettest.Until(w, "the helper answers", func() bool {
		_, err := u.ask.Version(context.Background())
		return err == nil
	})
	return u
}

// helperRole becomes leapc, with files of the system of its own. Where profiles
// are asked for, it does here what leapc does.
func helperRole() error {
	var a helperAbout
	if err := about(&a); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, dir := range []string{"/etc", "/run"} {
		if err := unix.Mount("vpnbench", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver "+entry+"\n"), 0o644); err != nil {
		return err
	}
	if os.Getenv(roleProfile) == "" {
		return syscall.Exec(a.Program, []string{"leapc", "vpn-helper", "run", "--socket", a.Socket, "--state", a.State}, []string{})
	}
	return profiled(func() error {
		if err := helper.Confine(); err != nil {
			return err
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		path, err := kernel.New(kernel.Config{State: "/run/leap-vpn"}, log)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := told()
		go func() { <-end; cancel() }()
		return errors.Join(helper.NewServer(helper.Config{Socket: a.Socket, State: a.State}, path, log).Run(ctx), path.Close())
	})
}

// connectAbout is what a client's process is told.
type connectAbout struct {
	Socket   string
	Gateway  netip.AddrPort // Of the lease API.
	CA, Pair []byte
	Cached   *policy.Policy // With a lease that was kept.
}

// connected is what a client has made, and how long it took, in ms.
type connected struct {
	Policy               policy.Policy
	Block, Lease, Tunnel float64
}

// connect is a client that rents, or has a lease, and has the helper make the
// tunnel.
func (a connectAbout) connect(ctx context.Context) (c connected, err error) {
	path := helper.NewClient(a.Socket)
	if a.Cached != nil {
		c.Policy = *a.Cached
		c.Tunnel = timed(func() { err = path.Apply(ctx, c.Policy) })
		return c, err
	}
	reach := []netip.AddrPort{a.Gateway}
	c.Block = timed(func() { err = path.Apply(ctx, policy.Policy{Reach: reach}) })
	if err != nil {
		return c, err
	}
	c.Lease = timed(func() { c.Policy, err = a.rent(ctx, path, reach) })
	if err != nil {
		return c, err
	}
	c.Tunnel = timed(func() { err = path.Apply(ctx, c.Policy) })
	return c, err
}

// rent asks for a lease and returns the policy for it.
func (a connectAbout) rent(ctx context.Context, path *helper.Client, reach []netip.AddrPort) (p policy.Policy, err error) {
	key, cert, err := certs.SplitPEM(a.Pair)
	if err != nil {
		return p, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return p, err
	}
	c, err := enroll.New(enroll.Config{Dial: path.Dial, CA: a.CA}, pair)
	if err != nil {
		return p, err
	}
	defer c.Close()
	grant, err := c.Lease(ctx, machine.Gateway{Name: gatewayName, Lease: reach})
	if err != nil {
		return p, err
	}
	l := grant.Machine(a.CA, policy.PairOf(a.Pair), enroll.Kind{})
	l.Link.Endpoint = l.Routes[0].Endpoint
	return policy.Policy{Mode: policy.Tunnel, Reach: reach, Tunnel: &l.Link}, nil
}

// connectRole is a client as a process of its own, that prints what it made.
func connectRole() error {
	var a connectAbout
	if err := about(&a); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(c)
	fmt.Println(string(data))
	return err
}

// through connects to a gateway and waits until a connection goes through the
// tunnel.
func (u *user) through(w *world, g *gatewayProcess) {
	w.Helper()
	a := u.about
	a.Gateway = g.api
	_, err := a.connect(context.Background())
	w.must(err)
	dial(w, u.Peer).Close()
}

// open ends the tunnel.
func (u *user) open(w *world) {
	w.Helper()
	w.must(u.ask.Apply(context.Background(), policy.Policy{Mode: policy.Open}))
}
