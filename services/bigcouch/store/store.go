package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Format is the number of the layout this program writes. It reads no other.
const Format = 1

// pebbleFormat is the format of Pebble's own files. It is raised one release
// after a release that can read the next: images roll back. It must not fall
// below FormatWALSyncChunks, which tells a damaged log from the end of one.
const pebbleFormat = pebble.FormatTableFormatV6

// memTables is how many tables of recent writes there may be.
const memTables = 2

// filter says of a table, in ten bits for each key, whether a key may be in it.
const filter = bloom.FilterPolicy(10)

// ErrDamaged means that a checksum did not match, now or in an earlier run. An
// operator must restore the store.
var ErrDamaged = errors.New("the store is damaged")

// ErrFormat means that the store was written by another release.
var ErrFormat = errors.New("store of another format")

// Options say where a store is and what it may use.
type Options struct {
	Dir           string
	FS            vfs.FS // Nil: the operating system's.
	CacheBytes    int64  // Block cache, beside the tables of recent writes.
	MemTableBytes int64  // Each of two tables of recent writes.
	Log           *slog.Logger

	// EntryVersion, if above 0, is the highest version of entries that the store
	// takes part in: for tests of clusters whose nodes are of different releases.
	EntryVersion int

	// ReadOnly changes nothing on the disk. A store that is marked as damaged
	// opens, and Damage has what the mark says.
	ReadOnly bool

	// Restoring begins a store in an empty directory, which no other Open takes
	// before Restored was called. One that was not finished is removed before.
	Restoring bool
}

// A Store is an open store.
type Store struct {
	db      *pebble.DB
	opts    Options
	wakers  wakers
	updates updates
	indexed indexCache
	views   views
	known   known
	designs stamps

	installs installs
	ownersMu sync.Mutex // Guards owners.
	owners   map[uint16]*sync.Mutex
	gone     map[uint16][]byte // Last row of table p of each shard that was removed.

	damaged chan struct{}
	once    sync.Once
	mu      sync.Mutex // Guards damage.
	damage  error
}

// Open opens the store in a directory, or makes a new one there. It returns
// ErrDamaged or ErrFormat where a second try cannot help.
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	s := &Store{
		opts: o, wakers: wakers{m: map[uint64]*waker{}}, damaged: make(chan struct{}),
		indexed: indexCache{m: map[place]*indexSet{}}, owners: map[uint16]*sync.Mutex{}, gone: map[uint16][]byte{},
		installs: installs{last: map[uint16]uint64{}},
	}
	if !o.ReadOnly {
		if err := makeDir(o.FS, o.Dir); err != nil {
			return nil, fmt.Errorf("making the directory of the store: %w", err)
		}
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	err := errors.Join(checkRecords(o.FS, o.Dir), checkLogs(o.FS, o.Dir))
	if errors.Is(err, errRecord) || errors.Is(err, errRotten) {
		return nil, s.corrupt(err)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for damage: %w", err)
	}
	// Pebble takes the tables of recent writes out of the size of the cache.
	cache := pebble.NewCache(o.CacheBytes + memTables*o.MemTableBytes)
	defer cache.Unref()
	po := &pebble.Options{
		FS:                          witnessed{o.FS},
		ReadOnly:                    o.ReadOnly,
		Cache:                       cache,
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                500,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 2 },
		Logger:                      logger{o.Log},
		EventListener: &pebble.EventListener{
			DataCorruption:  func(i pebble.DataCorruptionInfo) { s.corrupt(fmt.Errorf("%s: %w", i.Path, i.Details)) },
			BackgroundError: func(err error) { o.Log.Error("database background work failed", "err", err) },
		},
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = filter
		po.Levels[i].FilterType = pebble.TableFilter
	}
	db, err := pebble.Open(o.Dir, po)
	if err != nil {
		if pebble.IsCorruptionError(err) {
			return nil, s.corrupt(err)
		}
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s.db = db
	if err := errors.Join(s.sweep(), s.checkFormat()); err != nil {
		if pebble.IsCorruptionError(err) {
			err = s.corrupt(err)
		}
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// owner returns the lock of a shard, which a batch holds.
func (s *Store) owner(shard uint16) *sync.Mutex {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	m := s.owners[shard]
	if m == nil {
		m = new(sync.Mutex)
		s.owners[shard] = m
	}
	return m
}

// expired returns a copy of the last row of table p that is gone, nil if it is
// not known.
func (s *Store) expired(shard uint16) []byte {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	return bytes.Clone(s.gone[shard])
}

func (s *Store) setExpired(shard uint16, key []byte) {
	s.ownersMu.Lock()
	defer s.ownersMu.Unlock()
	s.gone[shard] = key
}

// Close closes the store. Views, batches and iterators must be closed before.
func (s *Store) Close() error { return s.db.Close() }

// checkFormat enters the format into a new store and checks that of an old one.
func (s *Store) checkFormat() error {
	src := source{r: s.db}
	have, err := src.get(nodeKey("format"))
	if err != nil {
		return fmt.Errorf("reading the format: %w", err)
	}
	if have == "" && !s.opts.ReadOnly {
		return s.db.Set(nodeKey("format"), []byte(strconv.Itoa(Format)), pebble.Sync)
	}
	if have != strconv.Itoa(Format) {
		return fmt.Errorf("format %s, this program has %d: %w", have, Format, ErrFormat)
	}
	return nil
}

// Incarnation returns the name of this store, which it keeps as long as it
// lives; a store that has none takes fresh. A store that was wiped is another.
func (s *Store) Incarnation(fresh string) (string, error) {
	key := nodeKey("incarnation")
	have, err := source{r: s.db}.get(key)
	if err != nil || have != "" {
		return have, err
	}
	return fresh, s.db.Set(key, []byte(fresh), pebble.Sync)
}

// Renew gives the store another incarnation: what was restored from a copy is
// not the server that the copy was taken of.
func (s *Store) Renew(incarnation string) error {
	return s.db.Set(nodeKey("incarnation"), []byte(incarnation), pebble.Sync)
}

// Damaged returns a channel that closes when a checksum has not matched.
func (s *Store) Damaged() <-chan struct{} { return s.damaged }

// Damage returns what was found, an ErrDamaged, once Damaged is closed.
func (s *Store) Damage() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.damage
}

// Condemn declares the store damaged: its content is not that of the other
// replicas.
func (s *Store) Condemn(why error) { _ = s.corrupt(why) } // Returns the damage.

// corrupt notes damage and leaves the marker.
func (s *Store) corrupt(cause error) error {
	s.once.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.damage = fmt.Errorf("%w: %v", ErrDamaged, cause)
		s.opts.Log.Error("database is damaged", "dir", s.opts.Dir, "err", cause)
		if s.opts.ReadOnly {
			close(s.damaged)
			return
		}
		if err := s.mark(marker, cause.Error()); err != nil {
			s.opts.Log.Error("database marker not written", "err", err)
		}
		close(s.damaged)
	})
	return s.Damage()
}

// Free returns how many bytes the file system of the store has left.
func (s *Store) Free() (uint64, error) {
	u, err := s.opts.FS.GetDiskUsage(s.opts.Dir)
	return u.AvailBytes, err
}

// DiskBytes returns how many bytes the store takes on the disk.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// A logger takes Pebble's own messages.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble could not write, and what is in memory must
// not be taken for what is on disk.
func (l logger) Fatalf(format string, args ...any) { panic("pebble: " + fmt.Sprintf(format, args...)) }
