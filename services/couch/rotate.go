package couch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Tokens and sessions expire by themselves: their databases are replaced every
// 30 days (leap-protocols.md 5.1). The next one is made a day ahead; for a day
// after the change both are read; then the old one is dropped.
const (
	period  = 2592000 * time.Second
	overlap = 24 * time.Hour
)

// rotation names the databases of a base name at a time: the present one, in
// which is written, and the former one while it is still read, else "".
func rotation(base string, now time.Time) (present, former string) {
	n := now.Unix() / int64(period/time.Second)
	present = rotatedName(base, n)
	if now.Sub(time.Unix(n*int64(period/time.Second), 0)) < overlap {
		former = rotatedName(base, n-1)
	}
	return present, former
}

func rotatedName(base string, n int64) string { return fmt.Sprintf("%s_%d", base, n) }

// inRotation parses the name of a database; false if it is none of base.
func inRotation(base, name string) (n int64, ok bool) {
	digits, ok := strings.CutPrefix(name, base+"_")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ok && err == nil && n >= 0 && rotatedName(base, n) == name
}

// rotating is the pair of databases that a store reads.
func (d *DB) rotating(base, noun string) []database {
	present, former := rotation(base, d.now())
	list := []database{d.in(present, noun)}
	if former != "" {
		list = append(list, d.in(former, noun))
	}
	return list
}

// Setup brings the databases, their security objects and their indexes to what
// this version needs. It writes only what differs; several processes may do it
// at once. The account must be a server administrator.
func (d *DB) Setup(ctx context.Context) error {
	all := layouts()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := d.build(ctx, name, all[name]); err != nil {
			return err
		}
	}
	return d.Rotate(ctx, d.now())
}

// Rotate creates the monthly databases that are needed at now, drops those
// that are not any more, and removes what has expired and what was left over
// by crashes. It is to be called every hour, and may run in several processes
// at once.
func (d *DB) Rotate(ctx context.Context, now time.Time) error {
	var errs []error
	for base, l := range rotated() {
		errs = append(errs, d.rotate(ctx, base, l, now))
	}
	return errors.Join(append(errs, d.sweep(ctx, now))...)
}

func (d *DB) rotate(ctx context.Context, base string, l layout, now time.Time) error {
	present, former := rotation(base, now)
	next, _ := rotation(base, now.Add(overlap))
	for _, name := range slices.Compact([]string{present, next}) {
		if err := d.build(ctx, name, l); err != nil {
			return err
		}
	}
	all, err := d.databases(ctx)
	if err != nil {
		return err
	}
	limit, _ := inRotation(base, present)
	for _, name := range all {
		if n, ok := inRotation(base, name); ok && n < limit && name != former {
			if err := d.drop(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// databases returns the names of all databases.
func (d *DB) databases(ctx context.Context) (all []string, err error) {
	err = read(ctx, func(ctx context.Context) (err error) {
		all, err = d.client.AllDBs(ctx)
		return err
	})
	return all, failed("listing the databases", "database", err)
}

// drop deletes a database; one that is not there is dropped.
func (d *DB) drop(ctx context.Context, name string) error {
	err := attempts(ctx, func(ctx context.Context, _ bool) error {
		err := d.client.DestroyDB(ctx, name)
		if isStatus(err, http.StatusNotFound) {
			return nil
		}
		return err
	})
	return failed("deleting a database", "database", err)
}

// sweep removes expired tokens and sessions, and messages on their way out
// that have no recipient left. A database that is not there yet has none.
func (d *DB) sweep(ctx context.Context, now time.Time) error {
	seen := now.Add(-tokenIdle).Unix()
	var errs []error
	for base, selector := range map[string]map[string]any{
		"tokens":   {"seen": map[string]any{"$lt": seen}},
		"sessions": {"expires": map[string]any{"$lt": now.Unix()}},
	} {
		index := map[string]string{"tokens": "seen", "sessions": "expires"}[base]
		present, former := rotation(base, now)
		for _, name := range []string{present, former} {
			if name != "" {
				errs = append(errs, d.in(name, base).clear(ctx, selector, index))
			}
		}
	}
	return errors.Join(append(errs, d.Outbound().sweep(ctx, now))...)
}

// clear deletes what matches.
func (d database) clear(ctx context.Context, selector map[string]any, index string) error {
	for range 100 { // The rest is for the next time.
		var list []meta
		err := d.find(ctx, query{Selector: selector, Fields: []string{"_id", "_rev"}, Limit: maxDocuments}, index, into(&list))
		if errors.Is(err, errNoDatabase) || err == nil && len(list) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		docs := make([]any, len(list))
		for i, m := range list {
			docs[i] = meta{ID: m.ID, Rev: m.Rev, Deleted: true}
		}
		if _, err := d.bulk(ctx, docs); err != nil {
			return err
		}
		if len(list) < maxDocuments {
			return nil
		}
	}
	return nil
}
