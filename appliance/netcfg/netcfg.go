package netcfg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"leap.example/appliance/node"
)

// Config says where files are. All fields are required.
type Config struct {
	ResolvConf string       // The list of name servers: /tmp/resolv.conf on a node.
	Hosts      string       // Names that need no name server: /etc/hosts.
	Log        *slog.Logger // Leases that come and go.
}

// cardWait is how long [Net.Apply] waits for a card that is not there: drivers
// find cards after the start of the system.
const cardWait = 10 * time.Second

// A Net is the network of this node. Its methods may be called at any time from
// any goroutine.
type Net struct {
	cfg     Config
	kernel  kernel
	ask     func(ctx context.Context, card string, held *nclient4.Lease) (*nclient4.Lease, lease, error)
	changed chan struct{} // There may be other cards to lease for.

	mu      sync.Mutex // Guards all below, and is held while the kernel is changed.
	network node.Network
	applied bool
	mtus    map[string]int // Of the cards as they were found.
	leases  map[string]tenancy
	trouble map[string]string // By card.
}

// New is the network as it is. It changes nothing.
func New(cfg Config) *Net { return newNet(cfg, linux{}) }

func newNet(cfg Config, k kernel) *Net {
	return &Net{
		cfg: cfg, kernel: k, ask: askServer, changed: make(chan struct{}, 1),
		mtus: map[string]int{}, leases: map[string]tenancy{}, trouble: map[string]string{},
	}
}

// Apply makes the network as the document says, and returns what it did. What
// [Net.Run] learns later changes it further. It waits for cards that are not
// there yet, at most 10 seconds or until ctx is done. It does all that it can:
// the error joins what could not be done, [ErrNoCard] among it.
func (n *Net) Apply(ctx context.Context, network node.Network) (Plan, error) {
	n.waitForCards(ctx, network)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.network, n.applied = network, true
	done, err := n.converge()
	select {
	case n.changed <- struct{}{}:
	default:
	}
	return done, err
}

func (n *Net) waitForCards(ctx context.Context, network node.Network) {
	ctx, cancel := context.WithTimeout(ctx, cardWait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		have, err := n.kernel.read(n.cfg)
		if err != nil || !slices.ContainsFunc(network.Interfaces, func(i node.Interface) bool {
			_, err := find(have.links, i)
			return err != nil
		}) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// converge does what leads from how it is to how it shall be. n.mu is held.
func (n *Net) converge() (Plan, error) {
	changes, errs := n.differences()
	var done Plan
	for _, c := range changes {
		if err := n.kernel.do(c); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", c, err))
			continue
		}
		done = append(done, c.String())
	}
	if len(errs) == 0 && len(done) > 0 {
		if changes, errs = n.differences(); len(changes) > 0 {
			errs = append(errs, fmt.Errorf("the kernel has not taken: %v", changes))
		}
	}
	return done, errors.Join(errs...)
}

func (n *Net) differences() ([]change, []error) {
	have, err := n.kernel.read(n.cfg)
	if err != nil {
		return nil, []error{err}
	}
	for _, l := range have.links {
		if _, ok := n.mtus[l.name]; !ok {
			n.mtus[l.name] = l.mtu
		}
	}
	want, err := wanted(n.network, have, n.leases, n.mtus, n.cfg, time.Now())
	changes := plan(have, want)
	if err != nil {
		return changes, []error{err}
	}
	return changes, nil
}

// Trouble is what an operator should know about DHCP, one line for each card.
func (n *Net) Trouble() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var lines []string
	for _, card := range slices.Sorted(maps.Keys(n.trouble)) {
		lines = append(lines, card+": "+n.trouble[card])
	}
	return lines
}

// TimeServers are those that DHCP named (option 42).
func (n *Net) TimeServers() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var servers []string
	for _, card := range slices.Sorted(maps.Keys(n.leases)) {
		for _, a := range n.leases[card].lease.timeServers {
			if !slices.Contains(servers, a.String()) {
				servers = append(servers, a.String())
			}
		}
	}
	return servers
}
