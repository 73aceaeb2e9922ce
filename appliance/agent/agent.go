package agent

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/appliance/keystore"
	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/appliance/update"
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
	Tunnel   func(context.Context, node.Document) error                       // What a gateway needs, or the end of what it left.
	// NetworkTrouble says what the network waits for: leases, cards.
	NetworkTrouble func() []string
	// Clock tells the clock its servers, and waits until the time is known, no
	// longer than wait.
	Clock      func(ctx context.Context, t node.Time, wait time.Duration) error
	ClockState func() node.Clock
	// ClockSet asks the servers now, and sets the clock.
	ClockSet   func(context.Context) error
	Supervisor Supervisor
	// Disk measures the writable partition.
	Disk func() node.Disk
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
	Boot     node.Boot
	// Releases are those on the disk. Nil: none of them was chosen by a boot
	// loader, and none can be added.
	Releases *slots.Slots
	// Update has the node update itself. Its Room is the agent's. Nil: it cannot keep
	// what that takes.
	Update *update.Config
	// Mirror has the node keep copies of repositories, if its document says so. Its
	// Document, Log and Room are the agent's. Nil: it cannot keep any.
	Mirror *mirror.Config
	Own    bool // Give files to the services' users: it takes root.
}

// An Agent makes a node what its document says.
type Agent struct {
	cfg   Config
	parts Parts
	keys  *keystore.Store
	gens  generations
	log   *slog.Logger

	applying chan struct{} // Holds one value while a document is applied and judged.
	again    chan struct{} // Wakes Run.
	contacts atomic.Int64  // New connections of operators.
	updates  *update.Updater
	mirror   *mirror.Keeper

	mu      sync.Mutex // Guards what follows.
	current node.Document
	state   node.Generation
	owed    node.Generation // The last verdict, while it is not on the disk. Zero: it is. Changed by who holds applying.
	trouble string          // Why the current generation is not what it should be.
	image   node.Image
}

// New returns an agent. It touches nothing yet.
func New(cfg Config, keys *keystore.Store, parts Parts, log *slog.Logger) *Agent {
	a := &Agent{cfg: cfg, parts: parts, keys: keys, gens: generations{cfg.Dir}, log: log, applying: make(chan struct{}, 1), again: make(chan struct{}, 1)}
	a.image = startedImage(cfg.Boot)
	if cfg.Update != nil {
		own := *cfg.Update
		own.Room = a.room
		a.updates = update.New(own, host{a}, log)
	}
	a.mirror = a.keeper(cfg.Mirror)
	return a
}

// What did not succeed is tried again, soon at first.
const (
	retrySoon  = time.Second
	retryEvery = 20 * time.Second
)

// room is how many bytes releases may still fill of the writable partition.
func (a *Agent) room() int64 { return a.parts.Disk().Room() }

// Run makes the node what its current generation says, judges it if it is on
// trial, and so the release; then it keeps trying what did not succeed, until
// ctx is done.
func (a *Agent) Run(ctx context.Context) error {
	if a.updates != nil {
		var updating sync.WaitGroup
		updating.Go(func() { a.updates.Run(ctx) })
		defer updating.Wait()
	}
	if a.mirror != nil {
		var copying sync.WaitGroup
		copying.Go(func() { a.mirror.Run(ctx) })
		defer copying.Wait()
	}
	begin := time.Now()
	pause := retrySoon
	for ctx.Err() == nil {
		a.applying <- struct{}{}
		err := a.release(ctx, a.resume(ctx), time.Since(begin))
		<-a.applying
		wait := time.After(pause)
		if err == nil {
			wait, pause = nil, retrySoon // Nothing to do but to serve.
		} else {
			a.log.ErrorContext(ctx, "the node is not what it should be", "err", err)
			pause = min(2*pause, retryEvery)
		}
		a.setTrouble(err)
		select {
		case <-ctx.Done():
		case <-wait:
		case <-a.again:
		}
	}
	return nil
}

// retry has Run look again: something did not succeed.
func (a *Agent) retry() {
	select {
	case a.again <- struct{}{}:
	default:
	}
}

func (a *Agent) set(d node.Document, state node.Generation) {
	a.mu.Lock()
	a.current, a.state = d, state
	a.mu.Unlock()
	a.lookForUpdates()
	if a.mirror != nil {
		a.mirror.Wake()
	}
}

func (a *Agent) setTrouble(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trouble = ""
	if err != nil {
		a.trouble = err.Error()
	}
}

// owing returns the verdict that is not on the disk.
func (a *Agent) owing() node.Generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.owed
}

func (a *Agent) owe(v node.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owed = v
}

// now returns the document that is applied and its state.
func (a *Agent) now() (node.Document, node.Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current, a.state
}
