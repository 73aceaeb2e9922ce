package tufclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A Repository is one whose signers are trusted.
type Repository struct {
	Name    string   // Of letters a to z: a file name, and in errors.
	Root    []byte   // The metadata of a root that the program was built with.
	Sources []Source // In the order in which they are asked for targets.
}

// Config is what a client needs.
type Config struct {
	// Repositories all have to agree. The first one vouches for the bytes, and
	// its sources have them.
	Repositories []Repository
	// Dir is where is kept what is trusted. Only who may install updates may
	// write there.
	Dir    string
	Clock  func() time.Time // Nil: time.Now.
	Built  time.Time        // When the program was built: it is never earlier.
	Limits Limits
	// Room is how many bytes the files of Save may still fill, in all. It is asked
	// before a download and before each write. Nil: as many as the disk takes.
	Room func() int64
	// Progress is told how much of a target is there. Nil: nobody is.
	Progress func(path string, done, length int64)
	// Damaged is told, perhaps several times, of a repository of which what was trusted
	// last cannot be read. The client begins again: with what of it can be read, so with
	// no older root than that, and otherwise with the root of the program. Nil: it is
	// [ErrState], and nothing goes on.
	Damaged func(repository string, err error)

	disk disk // Nil: that of the machine.
}

// A Client checks for updates. Its methods are called by one goroutine at a
// time, and one process has its directory.
type Client struct {
	cfg   Config
	repos []*repository
}

type repository struct {
	Repository
	limits  Limits
	damaged func(name string, err error)
}

var repositoryName = regexp.MustCompile(`^[a-z]{1,16}$`)

// Open returns a client. It reads what was trusted last, and writes nothing. A
// state that cannot be read is [ErrState], if nobody is to be told of it.
func Open(cfg Config) (*Client, error) {
	if len(cfg.Repositories) == 0 || cfg.Dir == "" {
		return nil, errors.New("a client of updates needs a repository and a directory")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.disk == nil {
		cfg.disk = osDisk{}
	}
	c := &Client{cfg: cfg}
	names := map[string]bool{}
	for _, r := range cfg.Repositories {
		if !repositoryName.MatchString(r.Name) || names[r.Name] || len(r.Sources) == 0 {
			return nil, fmt.Errorf("repository %q: it needs a name of its own, of letters a to z, and a source", r.Name)
		}
		names[r.Name] = true
		repo := &repository{r, cfg.Limits.orDefault(), cfg.Damaged}
		if _, err := repo.load(cfg.Dir); err != nil {
			return nil, err
		}
		c.repos = append(c.repos, repo)
	}
	return c, nil
}

// Check asks the repositories for what is new, and keeps what it comes to trust.
// The error joins those of all sources of a repository.
func (c *Client) Check(ctx context.Context) (*View, error) {
	if err := os.MkdirAll(c.cfg.Dir, 0o700); err != nil {
		return nil, full(err)
	}
	v := &View{client: c}
	for _, r := range c.repos {
		t, err := c.refresh(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		v.trusted = append(v.trusted, t)
	}
	return v, nil
}

// A Status is what is known of a repository without asking anybody.
type Status struct {
	Repository string
	Root       int64     // The version of the trusted root.
	Timestamp  int64     // The version of the last timestamp; 0: there was none.
	Expires    time.Time // When it expires: from then on nothing is installed.
	Checked    time.Time // When it was last found to be in force; zero: never.
}

// Status returns what is known, in the order of the repositories.
func (c *Client) Status() ([]Status, error) {
	var all []Status
	for _, r := range c.repos {
		s, err := r.load(c.cfg.Dir)
		if err != nil {
			return nil, err
		}
		root, err := selfSigned(s.files[metadata.ROOT])
		if err != nil {
			return nil, err
		}
		st := Status{Repository: r.Name, Root: root.Signed.Version, Checked: s.seen}
		if t := before[metadata.TimestampType](s, root, metadata.TIMESTAMP); t != nil {
			st.Timestamp, st.Expires = t.Signed.Version, t.Signed.Expires
		}
		all = append(all, st)
	}
	return all, nil
}

// now is the time of a check.
func (c *Client) now(s state) time.Time {
	now := c.cfg.Clock()
	for _, t := range []time.Time{c.cfg.Built, s.seen} {
		if t.After(now) {
			now = t
		}
	}
	return now.UTC()
}
