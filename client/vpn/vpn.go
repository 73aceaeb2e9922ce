package vpn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/client/vpn/machine"
	"leap.example/client/vpn/policy"
	"leap.example/services/protocol/problem"
)

// Config is what the VPN of a device needs of the rest of the client.
type Config struct {
	Dir string // Home of the account. Required.
	// Provider returns the provider of this device. Required.
	Provider func() (*session.Provider, error)
	// Token returns a token of the user's session, or why there is none: for
	// providers that give certificates to their users only. It is a new one
	// when the provider refused the one given. Required.
	Token func(ctx context.Context, refused string) (string, error)
	// Helper returns the Path of the privileged helper; problem.NotExist when
	// it is not installed. Required.
	Helper func(ctx context.Context) (policy.Path, error)
	// Network describes the network that the computer is in; another text is
	// another network. Nil: by the addresses of its links.
	Network func() string
}

// A VPN is the VPN of a device. It is a control.VPN and a daemon.Service.
type VPN struct {
	cfg   Config
	log   *slog.Logger
	calls chan call
	ended chan struct{} // Closed when Run returns.

	status atomic.Pointer[control.VPNStatus]
	way    atomic.Pointer[way]      // Nil: no Path is open.
	prefs  atomic.Pointer[settings] // As last stored.
	disk   sync.Mutex               // Held while files are changed.
	asking sync.Mutex               // Guards enrolling.
	keeper *keeper                  // Of connections to gateways; guarded by asking.
}

// A way is the Path in use.
type way struct {
	policy.Path
	proxy netip.AddrPort // None: it is the helper's.
	told  atomic.Bool    // A policy was applied by it.
}

// A call is a command on its way to the goroutine that owns the state.
type call struct {
	f    func(ctx context.Context, l *loop) error // With the context of Run.
	done chan error
}

var _ control.VPN = (*VPN)(nil)

// New returns the VPN of the device whose home is cfg.Dir. It touches neither
// network nor disk.
func New(cfg Config, log *slog.Logger) *VPN {
	if cfg.Network == nil {
		cfg.Network = ownAddresses
	}
	v := &VPN{cfg: cfg, log: log, calls: make(chan call), ended: make(chan struct{})}
	v.prefs.Store(&settings{Version: fileVersion})
	v.status.Store(&control.VPNStatus{Schema: control.Schema, State: control.VPNDisconnected, Traffic: policy.Open.String(), Use: useAuto})
	return v
}

// Run keeps the VPN until ctx is done. Then the tunnel ends; where the helper
// guards this computer, it goes on to block what the policy blocks.
func (v *VPN) Run(ctx context.Context) error {
	defer close(v.ended)
	l := &loop{VPN: v, events: make(chan machine.Event, 16), outside: policy.Open.String()}
	l.start(ctx)
	defer l.stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-v.calls:
			err := c.f(ctx, l)
			l.publish() // Who has its answer sees what it did.
			c.done <- err
		case e := <-l.events:
			l.step(ctx, e)
		case <-timer.C:
			l.tick(ctx)
		}
		l.publish()
		timer.Reset(l.pace())
	}
}

// do has f run by the goroutine that owns the state.
func (v *VPN) do(ctx context.Context, f func(context.Context, *loop) error) error {
	c := call{f, make(chan error, 1)}
	select {
	case v.calls <- c:
		return <-c.done
	case <-v.ended:
		return problem.Unavailable.Errorf("the daemon is stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial connects beside the tunnel. Without a Path traffic is open: nothing was
// asked for that would block it; and of a helper that was not told a policy yet,
// as far as it knows.
func (v *VPN) dial(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	if w := v.way.Load(); w != nil {
		c, err := w.Dial(ctx, network, a)
		if !errors.Is(err, problem.Permission) || w.told.Load() {
			return c, err
		}
	}
	return new(net.Dialer).DialContext(ctx, network, a.String())
}

// errNoHelper says what to do without the helper.
func errNoHelper(err error) error {
	if !errors.Is(err, problem.NotExist) {
		return err
	}
	return problem.Unavailable.Errorf(`the helper that guards this computer's traffic is not installed: ` +
		`"sudo leapc vpn-helper install", or without it, for programs that use a proxy: "leapc vpn up --proxy 127.0.0.1:1080"`)
}
