package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// A Part is a process of the client that goes on running, and has to run the
// version that is current. Its methods end with their context.
type Part interface {
	// String names it.
	String() string
	// Version asks it which version it is: the health call. ErrStopped: it does
	// not run, and need not. ErrGone: nor does a trial wait for it.
	Version(ctx context.Context) (string, error)
	// Restart has it start again with what is current, also if it has ended since
	// Version was asked. It need not wait until it answers.
	Restart(ctx context.Context) error
}

// Says is what a program says of itself when it is tried.
type Says struct {
	Schema  int    `json:"schema"` // 1.
	Version string `json:"version"`
	OS      string `json:"os"`   // In Go's words.
	Arch    string `json:"arch"` // In Go's words.
}

// Config is what an Updater needs.
type Config struct {
	Prefix Prefix
	// Dir is where is kept what is known and trusted. Empty: that of the prefix;
	// who may not write there has one of his own, and only looks.
	Dir    string
	Vendor Vendor
	// OS and Arch are of this computer, and Stored is the schema of what the
	// client has stored on it.
	OS, Arch string
	Stored   int
	Built    time.Time         // When the program was built; zero: not known.
	Clock    func() time.Time  // Nil: time.Now.
	Through  http.RoundTripper // To the sources; nil: the system's network.
	// Try starts a program, has it do a little of everything, and returns what it
	// says of itself. ErrTry: it has run, and does not work.
	Try func(ctx context.Context, program string) (Says, error)
	// Parts are restarted in this order, as far as they run.
	Parts    []Part
	Progress func(version string, done, length int64) // Nil: nobody is told.
	Log      *slog.Logger

	disk disk // Nil: that of the machine.
}

// How Apply goes about it.
type How struct {
	Now   bool // Without waiting for this computer's turn. What is halted stays so.
	Retry bool // Also a version that was given up.
}

const (
	lookTimeout  = 5 * time.Minute  // For all metadata.
	fetchTimeout = time.Hour        // For a program.
	tryTimeout   = 30 * time.Second // For a trial of a program.
	askTimeout   = 5 * time.Second  // For one health call.
	partsTimeout = 30 * time.Second // For all parts to be well.
	partsPoll    = 100 * time.Millisecond
)

// An Updater looks for releases and installs them. Its methods are called by one
// goroutine at a time; several processes may work on a prefix.
type Updater struct {
	cfg    Config
	client *tufclient.Client
	source string // That answered last.
	disk   disk
}

// New returns an updater. It writes nothing. ErrNoVendor: there is nobody to
// trust.
func New(cfg Config) (*Updater, error) {
	if len(cfg.Vendor.Root) == 0 {
		return nil, ErrNoVendor
	}
	if cfg.Dir == "" {
		cfg.Dir = cfg.Prefix.Dir()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	u := &Updater{cfg: cfg, disk: cfg.disk}
	if u.disk == nil {
		u.disk = osDisk{}
	}
	var sources []tufclient.Source
	for _, url := range cfg.Vendor.Sources {
		src, err := tufclient.NewHTTP(url, cfg.Through)
		if err != nil {
			return nil, err
		}
		sources = append(sources, noted{src, u})
	}
	var err error
	u.client, err = tufclient.Open(tufclient.Config{
		Repositories: []tufclient.Repository{{Name: "vendor", Root: cfg.Vendor.Root, Sources: sources}},
		Dir:          cfg.Dir, Clock: cfg.Clock, Built: cfg.Built, Progress: u.progress,
	})
	return u, err
}

func (u *Updater) now() time.Time { return u.cfg.Clock().UTC().Truncate(time.Second) }

// progress passes on how much of a program is there.
func (u *Updater) progress(path string, done, length int64) {
	if d, err := target.ParsePath(path); err == nil && u.cfg.Progress != nil {
		u.cfg.Progress(d.Version, done, length)
	}
}

// Check asks the vendor's repository for what is new, and notes it. It installs
// nothing.
func (u *Updater) Check(ctx context.Context) (Looked, error) {
	s, unlock, err := u.begin(ctx)
	if err != nil {
		return Looked{}, err
	}
	defer unlock()
	if _, _, err := u.look(ctx, s); err != nil && !errors.Is(err, tufclient.ErrNothing) {
		return Looked{}, err
	}
	return s.Looked, nil
}

// look is Check with the lock held. No release is [tufclient.ErrNothing].
func (u *Updater) look(ctx context.Context, s *State) (*tufclient.Offer, *tufclient.View, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	current, err := u.cfg.Prefix.Current()
	if err != nil {
		return nil, nil, err
	}
	secret, err := u.secret()
	if err != nil {
		return nil, nil, err
	}
	view, err := u.client.Check(ctx)
	if err != nil {
		return nil, nil, err
	}
	m := target.Machine{Variant: target.Client, OS: u.cfg.OS, Arch: u.cfg.Arch, Version: current, State: u.cfg.Stored}
	offer, nothing := view.Offer(ctx, m, position(secret))
	if nothing != nil && !errors.Is(nothing, tufclient.ErrNothing) {
		return nil, nil, nothing
	}
	status, err := u.client.Status()
	if err != nil {
		return nil, nil, err
	}
	was := s.Looked.Offer
	s.Looked = Looked{At: u.now(), Source: u.source, Root: status[0].Root, Expires: status[0].Expires}
	if nothing != nil {
		_, why, _ := strings.Cut(nothing.Error(), "\n") // Behind that there is nothing.
		s.Looked.Held = short(strings.ReplaceAll(why, "\n", "; "))
		return nil, nil, errors.Join(nothing, u.save(s))
	}
	t := offer.Target
	o := &Offer{
		Version: t.Description.Version, Length: t.Length, SHA256: fmt.Sprintf("%x", t.SHA256),
		Signers: t.Signers, Due: offer.Due, Bad: s.bad(t.Description.Version),
	}
	if was == nil || was.Version != o.Version {
		u.note(s, EventFound, o.Version, "")
	}
	s.Looked.Offer = o
	return offer, view, u.save(s)
}

// Apply installs the newest release whose turn has come, and returns its version.
// [tufclient.ErrNothing]: there is none. [WaitError]: its turn has not come.
// [ErrBad]: it was given up before. [BackError]: it did not work, and the version
// before is back. With any other error nothing has changed.
func (u *Updater) Apply(ctx context.Context, how How) (string, error) {
	if !u.cfg.Prefix.Mine() {
		return "", ErrNotMine
	}
	s, unlock, err := u.begin(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := u.settle(ctx, s); err != nil {
		return "", err
	}
	from, err := u.cfg.Prefix.Current()
	if err != nil {
		return "", err
	}
	o, view, err := u.look(ctx, s)
	if err != nil {
		return "", err
	}
	version := o.Target.Description.Version
	if how.Retry {
		s.forget(version)
	}
	if why := s.bad(version); why != "" {
		return "", fmt.Errorf("version %s: %w (%s)", version, ErrBad, why)
	}
	if o.Due.After(u.now()) && !how.Now {
		return "", &WaitError{version, o.Due}
	}
	came, err := u.fetch(ctx, view, o.Target, from)
	if err != nil {
		if errors.Is(err, ErrOther) || errors.Is(err, ErrTry) {
			u.giveUp(s, version, err.Error())
			u.note(s, EventRefused, version, err.Error())
			err = errors.Join(err, u.save(s))
		}
		return "", err
	}
	return version, u.change(ctx, s, from, version, came)
}

// noted is a source that says that it was the one which answered.
type noted struct {
	*tufclient.HTTP
	u *Updater
}
