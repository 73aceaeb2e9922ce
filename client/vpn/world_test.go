package vpn_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/client/vpn"
	"leap.example/client/vpn/policy"
	"leap.example/client/vpn/vpntest"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A paper is a Path that writes down what it is told. It enforces Reach, and
// its tunnel works as long as the gateway that it leads to says so.
type paper struct {
	gateways []*vpntest.Gateway

	mu     sync.Mutex // Guards what follows.
	seen   []policy.Policy
	now    policy.Policy
	since  time.Time // Of the tunnel to its present endpoint.
	shaken time.Time
	tx     uint64
	once   func() time.Time // When hands were shaken, if not at every moment.
	broken error            // What Apply says.
	boot   *bool
	epoch  uint64
}

func (p *paper) Apply(_ context.Context, next policy.Policy) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := next.Validate(time.Now()); err != nil {
		return err
	}
	if p.broken != nil {
		return p.broken
	}
	if next.Tunnel != nil && (p.now.Tunnel == nil || p.now.Tunnel.PrivateKey != next.Tunnel.PrivateKey || p.now.Tunnel.Endpoint != next.Tunnel.Endpoint) {
		p.since, p.shaken = time.Now(), time.Time{}
	}
	p.seen, p.now = append(p.seen, next), next
	return nil
}

// Stats lets a tunnel shake hands a moment after it was made, and again every
// moment; one whose gateway is mute sends in vain.
func (p *paper) Stats(context.Context) (policy.Stats, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.Tunnel == nil {
		return policy.Stats{Mode: p.now.Mode, Epoch: p.epoch}, nil
	}
	p.tx += 200
	if p.once != nil {
		p.shaken = p.once()
		return policy.Stats{LastHandshake: p.shaken, RX: 1, TX: p.tx, Mode: p.now.Mode, Epoch: p.epoch}, nil
	}
	for _, g := range p.gateways {
		// The fake gateways' keys are made of their names.
		if g.Key().Public() == p.now.Tunnel.PeerKey && g.Answers() && time.Since(p.since) > 50*time.Millisecond {
			p.shaken = time.Now()
		}
	}
	return policy.Stats{LastHandshake: p.shaken, RX: uint64(p.shaken.UnixNano()), TX: p.tx, Mode: p.now.Mode, Epoch: p.epoch}, nil
}

func (p *paper) Dial(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	p.mu.Lock()
	ok := p.now.Mode != policy.Open && slices.Contains(p.now.Reach, a)
	p.mu.Unlock()
	if !ok {
		return nil, problem.Permission.Errorf("not in reach")
	}
	return new(net.Dialer).DialContext(ctx, network, a.String())
}

func (p *paper) Close() error { return nil }

func (p *paper) BlockAtBoot(_ context.Context, block bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boot = &block
	return nil
}

// modes lists the modes that were applied, without repetitions.
func (p *paper) modes() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, one := range p.seen {
		if m := one.Mode.String(); len(list) == 0 || list[len(list)-1] != m {
			list = append(list, m)
		}
	}
	return strings.Join(list, " ")
}

func (p *paper) set(f func(p *paper)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// A world is a provider with gateways and one device.
type world struct {
	t        *testing.T
	dir      string
	provider *vpntest.Provider
	gateways []*vpntest.Gateway
	path     *paper
	session  *session.Provider
	missing  atomic.Bool // The helper.
	network  func() string
	tokens   []string // That the account has, in order.
	v        *vpn.VPN
	stop     func()
	log      *canary
}

func newWorld(t *testing.T, gateways int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), provider: vpntest.NewProvider(t), log: &canary{}, network: func() string { return "home" }}
	for i := range gateways {
		w.gateways = append(w.gateways, vpntest.NewGateway(t, w.provider.Authority, fmt.Sprintf("gw%d.example.org", i+1), nil))
	}
	w.provider.Set(func(o *vpntest.Offer) { o.Gateways = w.gateways })
	w.path = &paper{gateways: w.gateways, now: policy.Policy{Mode: policy.Open}, epoch: 1}
	w.session = w.provider.Session(t, w.dir)
	w.start()
	return w
}

// start starts the daemon's VPN, anew if it runs.
func (w *world) start() {
	w.t.Helper()
	if w.stop != nil {
		w.stop()
	}
	w.v = vpn.New(vpn.Config{
		Dir: w.dir,
		Provider: func() (*session.Provider, error) {
			if w.session == nil {
				return nil, problem.NotExist.Errorf("no provider yet")
			}
			return w.session, nil
		},
		Token: func(_ context.Context, refused string) (string, error) {
			i := slices.Index(w.tokens, refused) + 1
			if i >= len(w.tokens) {
				return "", problem.Unauthenticated.Errorf("the account is locked")
			}
			return w.tokens[i], nil
		},
		Helper: func(context.Context) (policy.Path, error) {
			if w.missing.Load() {
				return nil, problem.NotExist.Errorf("no helper")
			}
			return w.path, nil
		},
		Network: func() string { return w.network() },
	}, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	v := w.v
	go func() { done <- v.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(w.stop)
}

func (w *world) status() control.VPNStatus { return w.v.VPNStatus(w.t.Context()) }

func (w *world) up() {
	w.t.Helper()
	if err := w.v.VPNUp(w.t.Context(), control.VPNUpRequest{}); err != nil {
		w.t.Fatal(err)
	}
}

// until polls the status.
func (w *world) until(what string, ok func(control.VPNStatus) bool) control.VPNStatus {
	w.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		s := w.status()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			w.t.Fatalf("never %s: %+v\n%s", what, s, w.log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// connected waits until it is, by the gateway with this number.
func (w *world) connected(gateway int) control.VPNStatus {
	w.t.Helper()
	return w.until(fmt.Sprintf("connected by gateway %d", gateway), func(s control.VPNStatus) bool {
		return s.State == control.VPNConnected && s.Gateway == w.gateways[gateway-1].Name
	})
}

// asked returns the requests that a gateway had since the last call.
func (w *world) asked(gateway int) string {
	var list string
	w.gateways[gateway-1].Set(func(s *vpntest.State) { list, s.Asked = strings.Join(s.Asked, " "), nil })
	return list
}

// A canary keeps the log, to look for what must not be in it.
type canary struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *canary) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(b)
}

func (c *canary) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
