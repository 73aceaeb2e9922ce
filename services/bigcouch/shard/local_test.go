package shard_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"leap.example/services/bigcouch/sealed"
	"leap.example/services/bigcouch/shard"
	"leap.example/services/bigcouch/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var db = &store.Database{ID: 7, Shard: 1, RevsLimit: 1000}

func open(t *testing.T, fs vfs.FS) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: "db", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nodeKeys returns keys to seal a disk with.
func nodeKeys(t *testing.T) *sealed.Keys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(strings.Repeat("07", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := sealed.ReadKeys([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// start runs the log of a store; stop ends it and closes the store.
func start(t *testing.T, s *store.Store) (l *shard.Local, stop func()) {
	t.Helper()
	l = shard.NewLocal(s, 3)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if _, _, err := l.Propose(ctx, db.Shard, store.Entry{Cmd: store.OpenDatabase{DB: db.ID}}); err != nil {
		t.Fatal(err)
	}
	return l, sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func put(ctx context.Context, l shard.Log, d store.Doc) (uint64, store.DocResult, error) {
	n, r, err := l.Propose(ctx, db.Shard, store.Entry{Cmd: store.WriteDocs{DB: db.ID, RevsLimit: 1000, Docs: []store.Doc{d}}})
	if err != nil {
		return 0, store.DocResult{}, err
	}
	return n, r.Docs[0], nil
}

// Of the writers of one revision one wins, each time.
func TestOneWins(t *testing.T) {
	l, stop := start(t, open(t, vfs.NewMem()))
	defer stop()
	ctx := t.Context()
	var rev store.Rev
	for round := range 20 {
		var mu sync.Mutex
		var won []store.Rev
		seen := map[uint64]bool{}
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				n, r, err := put(ctx, l, store.Doc{ID: "a", Rev: rev, Body: fmt.Appendf(nil, `{"n":%d}`, i)})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[n] {
					t.Errorf("index %d twice", n)
				}
				seen[n] = true
				if r.Err == nil {
					won = append(won, r.Rev)
				} else if r.Err != store.ErrConflict {
					t.Error(r.Err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d winners", round, len(won))
		}
		rev = won[0]
	}
}

// Writers that come together share a sync: far fewer commits than writes.
func TestGroupCommit(t *testing.T) {
	syncs := &counting{FS: vfs.NewMem()}
	l, stop := start(t, open(t, syncs))
	defer stop()
	ctx := t.Context()
	before := syncs.count()
	var wg sync.WaitGroup
	const writers, each = 32, 20
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, r, err := put(ctx, l, store.Doc{ID: fmt.Sprintf("%d-%d", w, i), Body: []byte("{}")}); err != nil || r.Err != nil {
					t.Errorf("%v, %v", err, r.Err)
				}
			}
		})
	}
	wg.Wait()
	if n := syncs.count() - before; n == 0 || n > writers*each/2 {
		t.Errorf("%d syncs for %d writes", n, writers*each)
	}
}

func TestStop(t *testing.T) {
	l, stop := start(t, open(t, vfs.NewMem()))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := put(cancelled, l, store.Doc{ID: "a", Body: []byte("{}")}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := l.Barrier(t.Context(), db.Shard); err != nil {
		t.Errorf("Barrier: %v", err)
	}
	stop()
	for range 10 {
		if _, _, err := put(t.Context(), l, store.Doc{ID: "b", Body: []byte("{}")}); !errors.Is(err, shard.ErrStopped) {
			t.Errorf("after the end: %v, want ErrStopped", err)
		}
	}
}

// Power fails while many write. What was acknowledged is there afterwards, and
// what is there is whole; whatever share of the rest reached the disk.
func TestPowerCut(t *testing.T) {
	t.Run("plain", func(t *testing.T) { powerCuts(t, 24, func(disk vfs.FS) vfs.FS { return disk }) })
	keys := nodeKeys(t)
	t.Run("sealed", func(t *testing.T) { powerCuts(t, 36, func(disk vfs.FS) vfs.FS { return sealed.New(disk, keys) }) })
}

// powerCuts runs rounds on disks, through what on puts over them.
func powerCuts(t *testing.T, rounds int, on func(vfs.FS) vfs.FS) {
	const writers = 8
	rng := rand.New(rand.NewPCG(1, 2))
	fs := vfs.NewCrashableMem()
	acked := map[string]store.Rev{}
	for round := range rounds {
		s := open(t, on(fs))
		audit(t, s, acked)
		l, stop := start(t, s)
		var mu sync.Mutex // Guards acked and the moment of the cut.
		var wg sync.WaitGroup
		after := 20 + rng.IntN(60)
		cut := make(chan struct{})
		var crashed *vfs.MemFS
		written := 0
		for w := range writers {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-cut:
						return
					default:
					}
					id := fmt.Sprintf("%d-%d-%d", round, w, i)
					data := make([]byte, 100)
					d := store.Doc{ID: id, Body: fmt.Appendf(nil, `{"id":%q,"n":"%x"}`, id, data)}
					if i%8 == 7 {
						d.Atts = []store.NewAtt{{Att: store.Att{Name: "f", Digest: [32]byte{byte(round), byte(w), byte(i)}, Length: 3}, Blob: store.BlobID{byte(round), byte(w), byte(i)}, Data: []byte("att")}}
					}
					_, r, err := put(t.Context(), l, d)
					if err != nil || r.Err != nil {
						t.Errorf("%v, %v", err, r.Err)
						return
					}
					mu.Lock()
					if crashed == nil {
						acked[id] = r.Rev
						if written++; written == after {
							crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 30, 100}[round%3], RNG: rng})
							close(cut)
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		stop()
		fs = crashed
	}
	s := open(t, on(fs))
	defer s.Close()
	audit(t, s, acked)
	t.Logf("%d writes acknowledged over %d power cuts", len(acked), rounds)
}

// audit checks that everything acknowledged is there, and that the rows agree.
func audit(t *testing.T, s *store.Store, acked map[string]store.Rev) {
	t.Helper()
	v := s.View()
	defer v.Close()
	for id, rev := range acked {
		d, err := v.Document(db, id)
		if err != nil || d == nil || d.Rev != rev {
			t.Fatalf("%s: %v, %v; acknowledged as %v", id, d, err, rev)
		}
		body, err := v.Body(db, d, rev)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range body.Atts {
			if err := v.ReadAttachment(db, a, 0, a.Length, func([]byte) error { return nil }); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
	info, err := v.Info(db)
	if err != nil {
		t.Fatal(err)
	}
	if info == nil {
		return // Before the first round.
	}
	docs, changes := uint64(0), uint64(0)
	for _, err := range v.Documents(db, store.Span{}) {
		if docs++; err != nil {
			t.Fatal(err)
		}
	}
	for c, err := range v.Changes(db, 0, false) {
		if changes++; err != nil || c.Seq > info.Seq {
			t.Fatalf("change %v, %v", c, err)
		}
	}
	if docs != info.Docs || changes != docs {
		t.Fatalf("%d documents, %d changes, counted %d", docs, changes, info.Docs)
	}
}
