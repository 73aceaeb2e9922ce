package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// newestStore is newStore with its shard at the newest version.
func newestStore(t *testing.T) *Store {
	s := newStore(t)
	commit(t, s, Entry{Cmd: RaiseVersion{Version: EntryVersion}})
	return s
}

func headOf(t *testing.T, s *Store) Head {
	t.Helper()
	h, err := s.Head(1)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A shard that was never raised goes on as the first release has it: what it
// writes is what that release would have written.
func TestFirstVersion(t *testing.T) {
	s := newStore(t)
	highest := int64(0)
	for i, clock := range []int64{1000, 500, 1 << 40, 7, 1<<40 + 1, 1 << 50} {
		highest = max(highest, clock)
		blob := BlobID{byte(i)}
		commit(t, s, Entry{Op: OpID{byte(i + 1)}, Time: clock, Cmd: WriteChunk{DB: testDB.ID, Blob: blob, Data: []byte("x")}})
		h := headOf(t, s)
		if h.Time != highest || h.Age != highest || h.Version != 1 {
			t.Errorf("after %d: %+v, want %d", clock, h, highest)
		}
		v, err := source{r: s.db}.get(testDB.place().upload(blob))
		if r := (row{s: v}); err != nil || int64(r.uint()) != highest {
			t.Errorf("upload at %d: %x, %v", clock, v, err)
		}
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "_design/a", Body: []byte("{}")})})
	c, err := source{r: s.db}.counters(testDB.place())
	if err != nil || c.Designs != 0 {
		t.Errorf("counters %+v, %v", c, err)
	}
	v := s.View()
	defer v.Close()
	if judged, err := v.Judged(testDB); judged != 0 || err != nil {
		t.Errorf("judged %d, %v", judged, err)
	}
}

func TestRaiseVersion(t *testing.T) {
	s := newStore(t)
	apply := func(entries ...Entry) {
		t.Helper()
		b, err := s.Batch(1)
		if err != nil {
			t.Fatal(err)
		}
		if b.Head().Since == 0 {
			b.SetMembers(Position{Index: 9, Term: 1}, []byte("members"))
		}
		for _, e := range entries {
			if _, err := b.Apply(Position{b.Head().Index + 1, 1}, e); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	stamp := s.Designs(testDB)
	apply(Entry{Time: 1000, Cmd: RaiseVersion{Version: 2, Since: 8}})
	if h := headOf(t, s); h.Version != 1 {
		t.Errorf("raised for other members: %+v", h)
	}
	apply(Entry{Time: 2000, Cmd: RaiseVersion{Version: 2, Since: 9}}, Entry{Time: 2 + 1<<40, Cmd: Digest{}})
	h := headOf(t, s)
	if h.Version != 2 || h.Time != 2+1<<40 || h.Age != 2000+maxTick {
		t.Errorf("raised: %+v", h)
	}
	if s.Designs(testDB) == stamp {
		t.Error("what was known of the former version is still known")
	}
	apply(Entry{Cmd: RaiseVersion{Version: 1, Since: 9}})
	if h := headOf(t, s); h.Version != 2 {
		t.Errorf("lowered: %+v", h)
	}
}

// Who does not know a shard's version neither reads nor applies anything of it.
func TestLaterVersion(t *testing.T) {
	disk := vfs.NewMem()
	s := openMem(t, disk)
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}}, Entry{Cmd: RaiseVersion{Version: 2}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	older, err := Open(Options{Dir: "db", FS: disk, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: s.opts.Log, EntryVersion: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	if _, err := older.Head(1); !errors.Is(err, ErrVersion) {
		t.Errorf("head: %v", err)
	}
	if _, err := older.Batch(1); !errors.Is(err, ErrVersion) {
		t.Errorf("batch: %v", err)
	}
	data, err := Entry{Cmd: OpenDatabase{DB: 1}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := older.DecodeEntry(data); err != nil || VersionOf(data) != 1 {
		t.Errorf("an entry of version %d: %v", VersionOf(data), err)
	}
	later := AtVersion(data, 2)
	if _, err := older.DecodeEntry(later); !errors.Is(err, ErrVersion) || !errors.Is(err, ErrEntry) || VersionOf(data) != 1 {
		t.Errorf("an entry of version %d: %v", VersionOf(later), err)
	}
	if _, err := DecodeEntry(AtVersion(data, EntryVersion+1)); !errors.Is(err, ErrVersion) || !errors.Is(err, ErrEntry) {
		t.Errorf("an entry of a later release: %v", err)
	}
}

// What version 2 has added to entries and rows stays as it is.
func TestVersionFixture(t *testing.T) {
	var b strings.Builder
	for _, e := range []Entry{
		{Op: OpID{1}, Time: 1000, Cmd: CreateSpread{Database{Name: "n", ID: 5, Shard: 1, State: Creating, RevsLimit: 10, Created: 77, Shards: []uint16{1, 2}}}},
		{Op: OpID{2}, Time: 1001, Cmd: WriteDocs{DB: 5, RevsLimit: 10, Judged: 7, Docs: []Doc{{ID: "x", Body: []byte("{}")}, {ID: "y", Refused: &Refusal{"forbidden", "no"}}}}},
		{Time: 1002, Cmd: RaiseVersion{Version: 2, Since: 9}},
	} {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%T %s\n", e.Cmd, hex.EncodeToString(data))
	}
	h := Head{Position: Position{5, 2}, Time: 77, Age: 77, History: 3, Members: []byte("m"), Since: 4, Version: 2}
	c := counters{Docs: 1, Deleted: 2, Seq: 3, Size: 4, Indexes: 5, Purged: 6, Designs: 7}
	fmt.Fprintf(&b, "head %x\ncounters %x\n", h.encode(), c.encode())
	golden := filepath.Join("testdata", "version2.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("this release writes version 2 otherwise:\n%s", b.String())
	}
	for line := range strings.Lines(string(want)) {
		kind, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(kind, "store.") {
			if _, err := DecodeEntry(data); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}
