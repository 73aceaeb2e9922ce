package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Place is where backups are kept, by name.
type Place interface {
	// Put keeps what r holds. Before it returns nil there is nothing under the
	// name, also if the process ends.
	Put(ctx context.Context, name string, r io.Reader) error

	// List returns the names of all backups, in ascending order. Other things
	// that lie there are none of its business.
	List(ctx context.Context) ([]string, error)

	// Open opens a backup. The caller closes it.
	Open(ctx context.Context, name string) (io.ReadCloser, error)

	Remove(ctx context.Context, name string) error
}

// ErrNoBackup means that there is none of that name, or none at all.
var ErrNoBackup = errors.New("no such backup")

// A Location says where a place is.
type Location struct {
	S3 S3 // How to reach object storage.
}

// Place returns the place that a text names: a directory, or s3://bucket/prefix.
func (l Location) Place(where string) (Place, error) {
	if rest, ok := strings.CutPrefix(where, "s3://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		return l.S3.open(bucket, prefix)
	}
	if where == "" || strings.Contains(where, "://") {
		return nil, fmt.Errorf("%q is neither a directory nor s3://bucket/prefix", where)
	}
	return Dir(where), nil
}

// Find returns the place and the names of backups that a text means: that of one
// backup, or of a place, which means the latest backup of each node in it.
func (l Location) Find(ctx context.Context, where string) (Place, []string, error) {
	at, name := where, ""
	if i := strings.LastIndexByte(where, '/'); i >= 0 && isName(where[i+1:]) {
		at, name = where[:max(i, 1)], where[i+1:]
	} else if info, err := os.Stat(where); err == nil && info.Mode().IsRegular() {
		at, name = filepath.Dir(where), filepath.Base(where) // Also one that was renamed.
	}
	p, err := l.Place(at)
	if err != nil || name != "" {
		return p, []string{name}, err
	}
	all, err := p.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	latest := map[string]string{}
	for _, n := range all {
		node, _ := parseName(n)
		latest[node] = n // In ascending order of times.
	}
	var names []string
	for _, n := range latest {
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil, nil, fmt.Errorf("%w in %s", ErrNoBackup, where)
	}
	slices.Sort(names)
	return p, names, nil
}

// nameTime is how a name says the time.
const nameTime = "20060102T150405.000Z"

var (
	nameForm = regexp.MustCompile(`^couch-([A-Za-z0-9.-]+)-(\d{8}T\d{6}\.\d{3}Z)\.backup$`)
	unsafe   = regexp.MustCompile(`[^A-Za-z0-9.-]+`)
)

// Name returns the name of a backup, which sorts by time for each node.
func Name(h Header) string {
	return "couch-" + nodeIn(h.Node) + "-" + h.Time.UTC().Format(nameTime) + ".backup"
}

// nodeIn returns how names write the name of a node.
func nodeIn(node string) string {
	return cmp.Or(strings.Trim(unsafe.ReplaceAllString(strings.TrimPrefix(node, "bigcouch@"), "-"), "-"), "node")
}

func isName(name string) bool { return nameForm.MatchString(name) }

// parseName returns the node and the time of a name of Name's form.
func parseName(name string) (node string, at time.Time) {
	if m := nameForm.FindStringSubmatch(name); m != nil {
		node = m[1]
		at, _ = time.Parse(nameTime, m[2]) // Zero for a day that there is not.
	}
	return node, at
}

// Prune removes all but the latest backups of a node, and returns what it has
// removed. Nothing is removed when keep is 0.
func Prune(ctx context.Context, p Place, node string, keep int) (gone []string, err error) {
	if keep <= 0 {
		return nil, nil
	}
	all, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(name string) bool {
		of, at := parseName(name)
		return of != nodeIn(node) || at.IsZero()
	})
	for len(all) > keep {
		if err := p.Remove(ctx, all[0]); err != nil {
			return gone, fmt.Errorf("removing %s: %w", all[0], err)
		}
		gone = append(gone, all[0])
		all = all[1:]
	}
	return gone, nil
}
