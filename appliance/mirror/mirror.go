package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"leap.example/appliance/durable"
	"leap.example/appliance/node"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tufrepo"
)

// Names of the repositories, as directories and errors have them.
const (
	vendor   = "vendor"
	director = "director"
)

// How often is looked for what is new.
const (
	every     = time.Hour
	againSoon = 5 * time.Minute // After an error.
	idle      = 10 * time.Minute
	keep      = 2 // Of [node.Mirror.Keep].
)

// Config is where the copies are, and whom they are of.
type Config struct {
	Dir string // Of the trees, for them alone.
	// Vendor is the root that the release was built with. None: the document's.
	Vendor    []byte
	Built     time.Time            // When the release was built.
	Transport http.RoundTripper    // To sources. Nil: the system's network.
	Document  func() node.Document // The one that is applied.
	Clock     func() time.Time     // Nil: time.Now.
	Room      func() int64         // How many bytes copies may still fill. Nil: all that there are.
	Changed   func()               // Called when there is something new.
	Log       *slog.Logger
}

// A Keeper keeps the copies. Its methods may be called by several goroutines.
type Keeper struct {
	cfg  Config
	busy chan struct{} // Holds one value while something is copied.
	wake chan struct{} // Wakes the copying.
	look chan struct{} // Wakes the serving.

	mu     sync.Mutex           // Guards what follows.
	copies map[string]node.Copy // By name.
}

// New returns a keeper. It touches nothing yet.
func New(cfg Config) *Keeper {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Keeper{cfg: cfg, busy: make(chan struct{}, 1), wake: make(chan struct{}, 1), look: make(chan struct{}, 1), copies: map[string]node.Copy{}}
}

// Run copies and serves what the document says, until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	var serving sync.WaitGroup
	serving.Go(func() { k.serve(ctx) })
	defer serving.Wait()
	k.tidy(ctx)
	for ctx.Err() == nil {
		wait := idle
		if m := k.wanted(); m != nil {
			wait = every
			if k.copy(ctx, *m) != nil {
				wait = againSoon
			}
		}
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-time.After(wait):
		}
	}
}

// tidy removes what a bundle left that was cut off by the end of the process.
func (k *Keeper) tidy(ctx context.Context) {
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
		if err := os.RemoveAll(k.incoming()); err != nil {
			k.cfg.Log.WarnContext(ctx, "an old bundle stays", "err", err)
		}
	default: // One is being read, and begins by that itself.
	}
}

// Wake has the keeper look at the document, and at the sources, now.
func (k *Keeper) Wake() {
	for _, c := range []chan struct{}{k.wake, k.look} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// wanted is what the document says of copies. Nil: nothing.
func (k *Keeper) wanted() *node.Mirror {
	if u := k.cfg.Document().Updates; u != nil {
		return u.Mirror
	}
	return nil
}

// Status is what there is, sorted by name.
func (k *Keeper) Status() []node.Copy {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []node.Copy
	for _, name := range []string{director, vendor} {
		if c, ok := k.copies[name]; ok {
			c.Releases = slices.Clone(c.Releases)
			list = append(list, c)
		}
	}
	return list
}

// copy brings both copies up to date from where the document says. The director comes
// first: it says which releases are kept.
func (k *Keeper) copy(ctx context.Context, m node.Mirror) error {
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var errs []error
	for _, one := range []struct {
		name string
		urls []string
	}{{director, m.Director}, {vendor, m.Vendor}} {
		sources, done, err := tufclient.OpenHTTP(one.urls, k.cfg.Transport)
		if err == nil && len(sources) == 0 { // What was brought is looked at again: it may have expired.
			tree := filepath.Join(k.cfg.Dir, one.name)
			if _, err := os.Stat(tree); err != nil {
				continue
			}
			sources = append(sources, tufclient.Dir(tree))
		}
		if err == nil {
			err = k.sync(ctx, one.name, m, sources)
		}
		done()
		if err != nil && ctx.Err() == nil {
			k.cfg.Log.WarnContext(ctx, "a repository of releases cannot be copied", "repository", one.name, "err", err)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// errNoRoot is that nobody is trusted for a repository.
var errNoRoot = errors.New("neither this release nor the document says whom to trust for it")

// root is whom to trust for a repository.
func (k *Keeper) root(name string) ([]byte, error) {
	root := []byte(nil)
	switch u := k.cfg.Document().Updates; {
	case name == vendor && len(k.cfg.Vendor) > 0:
		root = k.cfg.Vendor
	case u == nil:
	case name == vendor:
		root = []byte(u.Vendor.Root)
	default:
		root = []byte(u.Director.Root)
	}
	if len(root) == 0 {
		return nil, fmt.Errorf("repository %s: %w", name, errNoRoot)
	}
	return root, nil
}

func (k *Keeper) stateDir() string { return filepath.Join(k.cfg.Dir, ".state") }

// sync brings one copy up to date, and notes what came of it.
func (k *Keeper) sync(ctx context.Context, name string, m node.Mirror, sources []tufclient.Source) error {
	var damage error // It is mended already: who has the node should know of its disk.
	copied, err := k.mirror(ctx, name, m, sources, func(_ string, err error) { damage = err })
	k.mu.Lock()
	before := k.copies[name]
	now := before
	now.Name, now.Error = name, ""
	if damage != nil {
		now.Error = "what the copy trusted was damaged, and was begun again: look at the disk: " + damage.Error()
		k.cfg.Log.WarnContext(ctx, "what was trusted of a copy is begun again", "repository", name, "err", damage)
	}
	if err != nil {
		now.Error = err.Error()
	} else {
		now.Releases, now.Expires, now.Copied = nil, copied.Expires, k.cfg.Clock().UTC().Truncate(time.Second)
		for _, d := range copied.Releases {
			if d.Variant == target.Node && !slices.Contains(now.Releases, d.Version) {
				now.Releases = append(now.Releases, d.Version)
			}
		}
	}
	k.copies[name] = now
	k.mu.Unlock()
	if err == nil && (!before.Expires.Equal(now.Expires) || !slices.Equal(before.Releases, now.Releases)) && k.cfg.Changed != nil {
		k.cfg.Changed()
	}
	return err
}

// mirror copies. What no source has is passed over: a bundle, or another node, has
// only some of the releases, and who misses one here asks elsewhere.
func (k *Keeper) mirror(ctx context.Context, name string, m node.Mirror, sources []tufclient.Source, damaged func(string, error)) (*tufrepo.Copied, error) {
	root, err := k.root(name)
	if err != nil {
		return nil, err
	}
	if err := k.begin(name, root); err != nil {
		return nil, err
	}
	var pin []string
	if name == vendor { // A director's tree that is damaged is mended before this.
		if pin, err = tufrepo.Listed(filepath.Join(k.cfg.Dir, director)); err != nil {
			return nil, err
		}
	}
	if m.Keep == 0 {
		m.Keep = keep
	}
	return tufrepo.Mirror{
		Repository: tufclient.Repository{Name: name, Root: root, Sources: sources},
		Dir:        filepath.Join(k.cfg.Dir, name), State: k.stateDir(), Bare: name == director,
		Keep: m.Keep, Pin: pin, Partial: true, Clock: k.cfg.Clock, Built: k.cfg.Built, Room: k.cfg.Room,
		Damaged: damaged,
		Want:    func(d target.Description) bool { return d.Variant == target.Node },
	}.Sync(ctx)
}

// begin forgets a copy that began with another root.
func (k *Keeper) begin(name string, root []byte) error {
	if err := os.MkdirAll(k.stateDir(), 0o700); err != nil {
		return err
	}
	path := filepath.Join(k.stateDir(), name+".root")
	sum := sha256.Sum256(root)
	digest := hex.EncodeToString(sum[:])
	before, err := os.ReadFile(path)
	if err == nil && string(before) == digest {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := tufclient.Forget(k.stateDir(), name); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(k.cfg.Dir, name)); err != nil {
		return err
	}
	if err := durable.SyncDir(k.cfg.Dir); err != nil {
		return err
	}
	return durable.WriteFile(path, []byte(digest), 0o600)
}
