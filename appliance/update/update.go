package update

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/updater/tufclient"
)

// A Host is the node as the updater sees it.
type Host interface {
	// Document is the one that is applied; settled, that it is good, and that
	// neither it nor a release is on trial.
	Document() (d node.Document, settled bool)
	Image() node.Image                    // The release that runs, and the others on the disk.
	Secret(digest string) ([]byte, error) // One that a document names.
	Within(d node.Document) time.Duration // How long a release may take from its start to be found good.
	// Old gives f the file of the release that runs, and how long it is.
	Old(ctx context.Context, f func(content io.ReaderAt, size int64) error) error
	Arm(ctx context.Context, t slots.Target, content io.Reader) error
	Disarm(ctx context.Context, release string) error // One that was armed and not started.
	Reboot(ctx context.Context) error
}

// Config is what an updater needs.
type Config struct {
	Node    string    // Name of this one.
	Version string    // Of the release that runs.
	RAM     int       // MiB. 0: not known.
	Built   time.Time // When the release was built.
	// Vendor is the root of the vendor's repository that the release was built
	// with. None: the document's counts.
	Vendor []byte
	Dir    string // On the writable partition.
	// Room is how many bytes downloads may still fill there. Nil: all that there are.
	Room func() int64
	// Transport reaches sources. Nil: the system's network.
	Transport http.RoundTripper
	// Agree opens where the nodes agree on their turns.
	Agree func(s node.Slot, password []byte) (Agreement, error)
}

// Times of looks.
const (
	pollEvery  = 6 * time.Hour
	againSoon  = 10 * time.Minute
	turnEvery  = time.Minute
	busyEvery  = 10 * time.Second
	offEvery   = time.Minute     // While the document says nothing of updates.
	rebootsFor = 5 * time.Minute // Until the machine has restarted that was told to.
)

// An Updater updates its node. Its methods may be called from any goroutine.
type Updater struct {
	cfg  Config
	host Host
	log  *slog.Logger
	disk disk

	wake    chan struct{}
	looking chan struct{}     // Holds one value during a look.
	watch   watch             // Of who is looking.
	told    time.Time         // When the machine was told to restart; zero: it was not. Of who is looking.
	old     *tufclient.Old    // Of the release that runs, but for its content. Of who is looking.
	whole   [sha256.Size]byte // Of the release that was downloaded last. Of who is looking.

	mu     sync.Mutex // Guards what follows.
	status node.Update
	kept   *state // What is on the disk. Nil: it is to be read.
	proved bool   // A look has seen both repositories since the start.
	damage string // For people, until an operator has looked.
}

// New returns an updater. It touches nothing yet.
func New(cfg Config, host Host, log *slog.Logger) *Updater {
	return &Updater{cfg: cfg, host: host, log: log, disk: onDisk, wake: make(chan struct{}, 1), looking: make(chan struct{}, 1)}
}

// Run looks for updates until ctx is done.
func (u *Updater) Run(ctx context.Context) error {
	for pause := time.Duration(0); ; {
		u.mu.Lock()
		u.status.Next = time.Now().Add(pause).UTC()
		u.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-u.wake:
		case <-time.After(pause):
		}
		if pause = u.Look(ctx); ctx.Err() != nil {
			return nil
		}
	}
}

// Wake has the updater look now: something has changed.
func (u *Updater) Wake() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// poll is how often a node looks, on the average.
func poll(d node.Document) time.Duration {
	if d.Updates == nil {
		return offEvery
	}
	return d.Updates.Poll.Or(pollEvery)
}

// Look looks once, as far as it gets, and returns how long to wait then.
func (u *Updater) Look(ctx context.Context) time.Duration {
	u.looking <- struct{}{}
	defer func() { <-u.looking }()
	d, settled := u.host.Document()
	every := poll(d)
	if d.Updates == nil {
		u.tell(ctx, &wait{why: node.UpdateOff})
		return every
	}
	w := u.look(ctx, d, settled)
	if ctx.Err() != nil {
		return every
	}
	u.tell(ctx, w)
	next := every/2 + rand.N(every+1)
	if w.pause > 0 {
		next = min(next, w.pause)
	}
	if !w.until.IsZero() {
		next = min(next, max(time.Until(w.until), 0)+time.Second)
	}
	return next
}

// A wait is why a look ended, and what it waits for.
type wait struct {
	why     string        // One of the words of [node.Update].
	release string        // Which it is about.
	err     error         // For people. Nil: there is nothing to say.
	until   time.Time     // When to look again, if that is before the next poll.
	pause   time.Duration // The same.
}

// tell has the status say how a look ended, and the log, if that is new.
func (u *Updater) tell(ctx context.Context, w *wait) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := u.status
	next.State, next.Release, next.Reason, next.Until, next.Done, next.Size = w.why, w.release, "", w.until, 0, 0
	if w.err != nil {
		next.Reason = w.err.Error()
	}
	if next.State != u.status.State || next.Release != u.status.Release || next.Reason != u.status.Reason {
		u.log.InfoContext(ctx, "updates", "state", next.State, "release", next.Release, "reason", next.Reason)
	}
	u.status = next
}

// doing has the status say what a look does just now.
func (u *Updater) doing(ctx context.Context, what, release string) {
	u.tell(ctx, &wait{why: what, release: release})
}

// progress has the status say how far a download is.
func (u *Updater) progress(_ string, done, length int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.status.State == node.UpdateDownload {
		u.status.Done, u.status.Size = done, length
	}
}

// Status says how it stands with updates.
func (u *Updater) Status() node.Update {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// Prove waits until the release that runs, if it came by itself, has seen the
// repositories once, no longer than ctx: one that cannot would be the node's last.
func (u *Updater) Prove(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := u.load()
		if err != nil || s.Armed != u.cfg.Version {
			return err
		}
		d, _ := u.host.Document()
		u.mu.Lock()
		proved, reason := u.proved || d.Updates == nil, u.status.Reason
		u.mu.Unlock()
		if proved {
			return nil
		}
		select {
		case <-ctx.Done():
			return &unproved{reason}
		case <-tick.C:
		}
	}
}

// unproved is that a release has not seen the repositories in time.
type unproved struct{ reason string }

// Error says why.
func (e *unproved) Error() string {
	text := "it cannot look for updates, so that nothing could replace it"
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}
