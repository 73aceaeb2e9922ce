package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/appliance/keystore"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
)

// A Supervisor runs services as processes.
type Supervisor interface {
	List(ctx context.Context) (map[string]node.ServiceStatus, error) // Of all that were started. Healthy is not its business.
	Start(ctx context.Context, service string) error                 // What runs already stays as it is.
	Stop(ctx context.Context, service string) error                  // Returns when it has ended.
	Restart(ctx context.Context, service string) error               // Also what has ended for good.
	// Logs gives the last lines of a service, or of all if it is empty, to f,
	// and goes on with new ones until ctx ends if follow is set.
	Logs(ctx context.Context, service string, lines int, follow bool, f func(node.LogLine) error) error
	Reboot(ctx context.Context) error
}

// Parts are what the agent moves. Each makes the node what it is given, and
// changes nothing that is so already.
type Parts struct {
	Firewall func(context.Context, node.Document) error
	Network  func(context.Context, node.Network) error
	Mesh     func(ctx context.Context, m *node.Mesh, privateKey []byte) error // Nil: no mesh.
	// NetworkTrouble says what the network waits for: leases, cards.
	NetworkTrouble func() []string
	// Clock tells the clock its servers, and waits until the time is known, no
	// longer than wait.
	Clock      func(ctx context.Context, t node.Time, wait time.Duration) error
	ClockKnown func() bool
	Supervisor Supervisor
	// Check builds a service's configuration without running it.
	Check func(service string, config []byte) error
	// MeshKey makes a new private key, and MeshPublic the public one of it.
	MeshKey    func() ([]byte, error)
	MeshPublic func(private []byte) (string, error)
}

// Config is where the agent's things are. On a node they are those of package
// node; tests have others.
type Config struct {
	Identity node.Identity
	Release  string // Version of the running image.
	Dir      string // Generations.
	RunDir   string // Files of services, in memory.
	StateDir string // Of services, on the writable partition.
	Perm     string // A directory on the writable partition, to measure it.
	Boot     node.Boot
	// Releases are those on the disk. Nil: none of them was chosen by a boot
	// loader, and none can be added.
	Releases *slots.Slots
	Own      bool // Give files to the services' users: it takes root.
}

// An Agent makes a node what its document says.
type Agent struct {
	cfg   Config
	parts Parts
	keys  *keystore.Store
	gens  generations
	log   *slog.Logger

	applying chan struct{} // Holds one value while a document is applied and judged.
	contacts atomic.Int64  // New connections of operators.

	mu      sync.Mutex // Guards what follows.
	current node.Document
	state   node.Generation
	trouble string // Why the current generation is not what it should be.
	image   node.Image
}

// New returns an agent. It touches nothing yet.
func New(cfg Config, keys *keystore.Store, parts Parts, log *slog.Logger) *Agent {
	a := &Agent{cfg: cfg, parts: parts, keys: keys, gens: generations{cfg.Dir}, log: log, applying: make(chan struct{}, 1)}
	a.image = startedImage(cfg.Boot)
	return a
}

// retryEvery is how often a good generation that could not be applied is tried
// again.
const retryEvery = 20 * time.Second

// Run makes the node what its current generation says, judges it if it is on
// trial, and so the release; then it keeps trying what did not succeed, until
// ctx is done.
func (a *Agent) Run(ctx context.Context) error {
	begin := time.Now()
	for ctx.Err() == nil {
		a.applying <- struct{}{}
		err := a.release(ctx, a.resume(ctx), time.Since(begin))
		<-a.applying
		wait := time.After(retryEvery)
		if err == nil {
			wait = nil // Nothing to do but to serve.
		} else {
			a.log.ErrorContext(ctx, "the current generation is not applied", "err", err)
		}
		a.setTrouble(err)
		select {
		case <-ctx.Done():
		case <-wait:
		}
	}
	return nil
}

// resume applies the current generation, as it was found.
func (a *Agent) resume(ctx context.Context) error {
	n, err := a.gens.current()
	if err != nil {
		return err
	}
	if n == 0 {
		return a.wait(ctx)
	}
	d, state, err := a.open(n)
	if err != nil {
		return fmt.Errorf("generation %d: %w", n, err)
	}
	if state.State == node.StateBad { // A crash came between the verdict and going back.
		return a.back(ctx, n)
	}
	a.set(d, state)
	err = a.install(ctx, d, func(string) {})
	if state.State != node.StateTrial {
		return err
	}
	if err == nil {
		// It was cut off from its operators, perhaps, before it was started anew.
		before := a.newborn()
		if _, good, err := a.gens.summary(n); err == nil && good > 0 {
			if before, _, err = a.open(good); err != nil {
				a.log.WarnContext(ctx, "the generation to go back to cannot be read", "generation", good, "err", err)
			}
		}
		err = a.judge(ctx, d, before, time.Now(), func(node.Event) {})
	}
	return a.conclude(ctx, state, err)
}

// open returns a kept generation if it can be applied.
func (a *Agent) open(n uint64) (node.Document, node.Generation, error) {
	signed, state, err := a.gens.read(n)
	if err != nil {
		return node.Document{}, state, err
	}
	d, err := a.verify(signed)
	return d, state, err
}

// newborn is what a node is before it has a document.
func (a *Agent) newborn() node.Document {
	id := a.cfg.Identity
	return node.Document{
		Schema: node.Schema, Provider: id.Provider, Node: id.Node, Agent: id.Agent, Time: id.Time,
		Network: node.Network{Interfaces: []node.Interface{id.Interface}},
	}
}

// wait makes the node reachable, and no more: it has no document yet.
func (a *Agent) wait(ctx context.Context) error {
	d := a.newborn()
	a.set(d, node.Generation{})
	return a.install(ctx, d, func(string) {})
}

// back makes the newest good generation below n the current one and applies
// it. Without one the node waits for a document.
func (a *Agent) back(ctx context.Context, n uint64) error {
	_, good, err := a.gens.summary(n)
	if err != nil {
		return err
	}
	if err := a.gens.setCurrent(good); err != nil {
		return err
	}
	if good == 0 {
		return a.wait(ctx)
	}
	d, state, err := a.open(good)
	if err != nil {
		return fmt.Errorf("generation %d: %w", good, err)
	}
	a.set(d, state)
	return a.install(ctx, d, func(string) {})
}

// conclude keeps the verdict on a generation that was on trial: err says why it
// is bad. An agent that is being stopped has none.
func (a *Agent) conclude(ctx context.Context, state node.Generation, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		state.State = node.StateGood
		if err := a.gens.setState(state); err != nil {
			return err
		}
		a.mu.Lock()
		a.state = state
		a.mu.Unlock()
		keep, err := a.gens.prune(state.Number)
		if err != nil {
			return err
		}
		return a.keys.Retain(func(name string) bool { return keep[name] || name == meshKey })
	}
	state.State, state.Reason = node.StateBad, err.Error()
	a.log.WarnContext(ctx, "the generation is bad", "generation", state.Number, "reason", state.Reason)
	return errors.Join(a.gens.setState(state), a.back(ctx, state.Number))
}

func (a *Agent) set(d node.Document, state node.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current, a.state = d, state
}

func (a *Agent) setTrouble(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trouble = ""
	if err != nil {
		a.trouble = err.Error()
	}
}

// now returns the document that is applied and its state.
func (a *Agent) now() (node.Document, node.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current, a.state
}
