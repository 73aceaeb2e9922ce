package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"leap.example/client/vpn/policy"
)

// A Config is where the machine keeps what this package changes.
type Config struct {
	// ResolvConf is the file that names the machine's resolvers. Empty:
	// /etc/resolv.conf.
	ResolvConf string
	// State is a directory in RAM, /run/leap-vpn for instance, where the former
	// values of settings lie until they are put back. Required.
	State string
	// BlockFile, if it is there, has all traffic blocked by a Path that finds no
	// table, unless somebody has asked for Open since the start of the machine:
	// that start should have blocked, and did not. Empty: none.
	BlockFile string
	// Resolve runs resolvectl with the arguments given. Nil: systemd-resolved
	// does not run here, and ResolvConf is written.
	Resolve func(ctx context.Context, args ...string) error
}

// A Path makes policies true for the network namespace of its process. There is
// at most one in a namespace.
type Path struct {
	log   *slog.Logger
	names resolver
	state settings

	applying sync.Mutex // Held while Apply or a timer changes the machine; before mu.
	tunnel   *link      // Nil: there is none.
	timer    *time.Timer
	had      []netip.Addr // Of tunnels, since traffic was open last.

	stop func() error // Ends the guard.
	done sync.WaitGroup

	mu  sync.Mutex // Guards what Stats and Dial read.
	now policy.Policy
	wg  wireguard
}

var _ policy.Path = (*Path)(nil)

// New returns the Path of this machine after it has taken over from one that
// has ended: where its table is, all traffic is blocked from the first moment,
// as it is with cfg.BlockFile; where neither is, nothing is. What else was left
// behind is put away.
func New(cfg Config, log *slog.Logger) (*Path, error) {
	if err := os.MkdirAll(cfg.State, 0o755); err != nil {
		return nil, err
	}
	closed, err := installed()
	if err != nil {
		return nil, err
	}
	if !closed && cfg.BlockFile != "" && !settings(cfg.State).opened() {
		_, err := os.Stat(cfg.BlockFile)
		closed = !errors.Is(err, os.ErrNotExist) // What cannot be looked at may be there.
	}
	p := &Path{log: log, state: settings(cfg.State), now: policy.Policy{Mode: policy.Open}}
	p.had = p.state.had()
	if closed {
		p.now.Mode = policy.Blocked
		if err := install(p.now, p.had); err != nil {
			return nil, err
		}
	}
	p.names = newResolver(cfg, log)
	if err := p.withdraw(context.Background()); err != nil {
		return nil, err
	}
	if err := p.state.keep(closed); err != nil {
		return nil, err
	}
	if err := p.guard(); err != nil {
		return nil, err
	}
	log.Info("took over", "mode", p.now.Mode.String())
	return p, nil
}

// Block installs the table that blocks all and does nothing else: for the start
// of a machine, before it has a network.
func Block() error { return install(policy.Policy{Mode: policy.Blocked}, nil) }

// Unblock removes everything that this package has made, a table of a crashed
// process included. One that runs would put its table back: ask it for Open
// instead.
func Unblock(ctx context.Context, cfg Config) error {
	log := slog.New(slog.DiscardHandler)
	p := &Path{log: log, state: settings(cfg.State), names: newResolver(cfg, log)}
	p.had = p.state.had()
	return p.open(ctx)
}

// Apply makes p true. If the table cannot be written, all is as it was; if a
// later step fails, all traffic is blocked, the local network being reachable
// if it was, and so are the addresses of the policy before to this process.
func (p *Path) Apply(ctx context.Context, q policy.Policy) error {
	if err := q.Validate(time.Now()); err != nil {
		return err
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	p.stopTimer()
	if q.Mode == policy.Open {
		return p.open(ctx)
	}
	before := p.current()
	if err := p.remember(q); err != nil {
		return err
	}
	if err := p.state.write(openFile, ""); err != nil {
		return err
	}
	if err := install(q, p.gone(q)); err != nil {
		return err
	}
	p.set(q)
	err := p.state.keep(true)
	if err == nil {
		err = p.arrange(ctx, q)
	}
	if err != nil {
		p.block(ctx, before)
		return err
	}
	if w := q.Portal; w != nil {
		// The table's own clock closes the window, also when this process is gone;
		// this closes it when somebody sets the clock back.
		p.timer = time.AfterFunc(time.Until(w.Until), func() { p.closeWindow(w) })
	}
	p.log.Info("applied", "mode", q.Mode.String(), "lan", q.LAN, "portal", q.Portal != nil, "excluded", len(q.Exclude))
	return nil
}

// block is what an error leaves.
func (p *Path) block(ctx context.Context, before policy.Policy) {
	q := policy.Policy{Mode: policy.Blocked, LAN: before.LAN, Reach: before.Reach}
	if err := install(q, p.gone(q)); err != nil {
		p.log.ErrorContext(ctx, "could not block all", "err", err) // The table of the policy that failed stands: it blocks but the tunnel.
		return
	}
	p.set(q)
	if err := p.withdraw(context.WithoutCancel(ctx)); err != nil {
		p.log.ErrorContext(ctx, "something of the tunnel is left", "err", err)
	}
}

// closeWindow removes a portal window that is over from the policy, if it is
// still the one that holds.
func (p *Path) closeWindow(w *policy.Portal) {
	p.applying.Lock()
	defer p.applying.Unlock()
	q := p.current()
	if q.Portal != w {
		return
	}
	q.Portal = nil
	err := install(q, p.gone(q))
	if err == nil {
		p.set(q)
		if q.Tunnel != nil {
			err = route(q)
		}
	}
	if err != nil {
		p.log.Error("the portal window is closed by its time alone", "err", err)
		return
	}
	p.log.Info("portal window closed")
}

func (p *Path) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

func (p *Path) current() policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *Path) set(q policy.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = q
}

// Stats says how the tunnel is, and what is applied.
func (p *Path) Stats(context.Context) (policy.Stats, error) {
	p.mu.Lock()
	wg, mode := p.wg, p.now.Mode
	p.mu.Unlock()
	if wg == nil {
		return policy.Stats{Mode: mode}, nil
	}
	s, err := wg.stats()
	s.Mode = mode
	return s, err
}

// Close stops this process's part. The table stays: with a policy other than
// Open, nothing leaves the machine any more.
func (p *Path) Close() error {
	if err := p.stop(); err != nil && !errors.Is(err, os.ErrClosed) { // Closed before: there is no harm in it.
		return err
	}
	p.done.Wait()
	p.applying.Lock()
	defer p.applying.Unlock()
	p.stopTimer()
	q := p.current()
	if q.Mode == policy.Open {
		return nil
	}
	q = policy.Policy{Mode: policy.Blocked, LAN: q.LAN}
	if err := install(q, p.gone(q)); err != nil {
		return fmt.Errorf("blocking: %w", err)
	}
	return p.withdraw(context.Background())
}
