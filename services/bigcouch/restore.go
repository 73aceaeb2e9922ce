package bigcouch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"filippo.io/age"

	"leap.example/services/bigcouch/backup"
	"leap.example/services/bigcouch/group"
	"leap.example/services/bigcouch/store"
)

// ErrIncomplete means that backups do not make a whole database together, or not
// the one that the configuration describes.
var ErrIncomplete = errors.New("these backups do not make the database of this configuration")

// A BackupSource is a backup that can be read, several times if need be.
type BackupSource struct {
	Name string
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Restored says what Restore has made.
type Restored struct {
	Shards []RestoredShard `json:"shards"`
	Report *store.Report   `json:"verified"` // What store.Verify says of it.
}

// A RestoredShard is one shard and where it has come from.
type RestoredShard struct {
	backup.Shard
	From  string    `json:"from"`
	Taken time.Time `json:"taken"`
	Bytes int64     `json:"bytes"`
}

// Restore makes the store of a node that has none out of backups: of each shard
// the latest that is among them. The node is then by itself, or holds all shards
// of its cluster alone and passes them on to the other nodes, whose stores must
// be empty too. Followers of changes begin anew. Nothing is restored if anything
// of it is not as it was: until the end the store is marked, and does not open.
// progress is called with the bytes that were read so far; it may be nil.
func Restore(ctx context.Context, cfg Config, from []BackupSource, with []age.Identity, progress func(int64), log *slog.Logger) (*Restored, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	r := &restore{cfg: cfg, with: with, progress: progress}
	if err := r.choose(ctx, from); err != nil {
		return nil, err
	}
	fs, _, err := disk(nil, cfg)
	if err != nil {
		return nil, err
	}
	if r.store, err = store.Open(store.Options{
		Dir: cfg.Dir, FS: fs, CacheBytes: cfg.CacheBytes, MemTableBytes: cfg.MemTableBytes, Log: log, Restoring: true,
	}); err != nil {
		return nil, err
	}
	done, err := r.run(ctx)
	return done, errors.Join(err, r.store.Close())
}

// A restore is one run of Restore.
type restore struct {
	cfg      Config
	with     []age.Identity
	progress func(int64)
	store    *store.Store
	chosen   []*chosen // By shard.
	read     int64     // Bytes.
}

// A chosen shard is the latest among the backups.
type chosen struct {
	RestoredShard
	source BackupSource
}

// open opens a backup. The caller calls closing.
func (r *restore) open(ctx context.Context, s BackupSource) (b *backup.Reader, closing func() error, err error) {
	in, err := s.Open(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", s.Name, err)
	}
	if b, err = backup.NewReader(reporting{ctx, in, r}, r.with); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", s.Name, err), in.Close())
	}
	return b, func() error { b.Close(); return in.Close() }, nil
}

// reporting is a backup that is being read, until ctx is done.
type reporting struct {
	ctx context.Context
	r   io.Reader
	to  *restore
}

func (r reporting) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.to.read += int64(n)
	if r.to.progress != nil {
		r.to.progress(r.to.read)
	}
	return n, err
}

// choose reads the manifests and chooses the latest of each shard.
func (r *restore) choose(ctx context.Context, from []BackupSource) error {
	var first *backup.Manifest
	for _, s := range from {
		b, closing, err := r.open(ctx, s)
		if err != nil {
			return err
		}
		m := b.Manifest
		if err := closing(); err != nil {
			return err
		}
		if m.Format != store.Format {
			return fmt.Errorf("%s: format %d of the store, this program has %d: %w", s.Name, m.Format, store.Format, store.ErrFormat)
		}
		if first == nil {
			first = &m
			r.chosen = make([]*chosen, m.Total)
		}
		if m.Total != first.Total || !slices.Equal(m.Cluster, first.Cluster) {
			return fmt.Errorf("%w: %s is of another database than %s", ErrIncomplete, s.Name, from[0].Name)
		}
		for _, one := range m.Shards {
			c := &chosen{RestoredShard{Shard: one, From: s.Name, Taken: m.Time}, s}
			if old := r.chosen[one.Shard]; old == nil || c.after(old) {
				r.chosen[one.Shard] = c
			}
		}
	}
	var missing []int
	for i, c := range r.chosen {
		if c == nil {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 || first == nil {
		return fmt.Errorf("%w: no backup has the shards %v: name backups of the other nodes too", ErrIncomplete, missing)
	}
	return r.fits(first.Total)
}

// after reports whether c is the later one.
func (c *chosen) after(o *chosen) bool {
	if c.Epoch != o.Epoch {
		return c.Epoch > o.Epoch
	}
	if c.Index != o.Index {
		return c.Index > o.Index
	}
	return c.Taken.After(o.Taken)
}

// fits reports whether the configuration has so many shards.
func (r *restore) fits(total int) error {
	switch {
	case r.cfg.Cluster == nil && total > shards+1:
		return fmt.Errorf("%w: they have %d shards, a node by itself has %d: restore to a cluster, of one node if need be, with a placement for all", ErrIncomplete, total, shards+1)
	case r.cfg.Cluster != nil && total > len(r.cfg.Cluster.Placement):
		return fmt.Errorf("%w: they have %d shards, the placement has %d", ErrIncomplete, total, len(r.cfg.Cluster.Placement))
	case r.cfg.Cluster != nil && !slices.ContainsFunc(r.cfg.Cluster.Nodes, func(n ConfigNode) bool { return n.Name == r.cfg.Cluster.Node }):
		return fmt.Errorf("%w: node %q is not in the list of nodes", ErrIncomplete, r.cfg.Cluster.Node)
	}
	return nil
}

func (r *restore) run(ctx context.Context) (*Restored, error) {
	done := &Restored{}
	seen := map[string]bool{}
	for _, c := range r.chosen {
		if !seen[c.source.Name] {
			seen[c.source.Name] = true
			if err := r.receive(ctx, c.source); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range r.chosen {
		done.Shards = append(done.Shards, c.RestoredShard)
	}
	var random [8]byte
	rand.Read(random[:])
	incarnation := hex.EncodeToString(random[:])
	node := ""
	if r.cfg.Cluster != nil {
		node = r.cfg.Cluster.Node
	}
	for i := range r.chosen {
		if _, err := group.Refound(r.store, uint16(i), node, incarnation, true); err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
	}
	err := r.store.Renew(incarnation)
	if err == nil {
		done.Report, err = r.store.Verify(ctx, nil)
	}
	if err == nil {
		err = r.store.Restored()
	}
	return done, err
}

// receive installs the shards that are to come from a backup, and compares each
// with what it was.
func (r *restore) receive(ctx context.Context, s BackupSource) error {
	b, closing, err := r.open(ctx, s)
	if err != nil {
		return err
	}
	sums, err := b.Shards(func(one backup.Shard, in io.Reader) error {
		if r.chosen[one.Shard].source.Name != s.Name {
			return nil
		}
		got, err := r.store.Receive(one.Shard, in)
		if err != nil {
			return err
		}
		return got.Install()
	})
	if err = errors.Join(err, closing()); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	for _, sum := range sums {
		c := r.chosen[sum.Shard]
		if c.source.Name != s.Name {
			continue
		}
		c.Bytes = sum.Bytes
		if err := r.compare(sum); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// compare reads what was installed of a shard.
func (r *restore) compare(sum backup.Sum) error {
	snap, err := r.store.Snapshot(sum.Shard)
	if err != nil {
		return err
	}
	got, err := snap.Sum()
	if err = errors.Join(err, snap.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(got[:]) != sum.Digest {
		return fmt.Errorf("%w: shard %d is not what it was when the backup was taken", backup.ErrMalformed, sum.Shard)
	}
	return nil
}
