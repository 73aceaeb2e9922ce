package store

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"leap.example/services/bigcouch/sealed"
)

// A format that was released stays in testdata as a store that it has written,
// in the clear and sealed, and is read by every later release that says so. The
// flag writes that of this release anew: only before the release is out.
var update = flag.Bool("update", false, "write testdata/format<N> anew")

const fixture = "testdata/format1"

// fixtureFS returns the file systems that fixtures were written on.
func fixtureFS(t *testing.T) map[string]vfs.FS {
	keys, err := sealed.ReadKeys([]string{filepath.Join(fixture, "key")})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]vfs.FS{"plain": vfs.Default, "sealed": sealed.New(vfs.Default, keys)}
}

func openDir(t *testing.T, fs vfs.FS, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixtureEntries has one entry of each command.
func fixtureEntries() []Entry {
	db := Database{Name: "n", ID: 5, Shard: 1, State: Creating, RevsLimit: 10, Created: 77}
	doc := Doc{ID: "x", Rev: Rev{1, "a"}, Path: []Rev{{2, "b"}, {1, "a"}}, Deleted: true, MustExist: true, Body: []byte(`{"b":1}`), Atts: []NewAtt{
		{Att: Att{Name: "a", Type: "t", Digest: [32]byte{1}, MD5: [16]byte{2}, Length: 3, RevPos: 4}, Data: []byte("abc")},
		{Att: Att{Name: "s"}, Stub: true},
		{Att: Att{Name: "b"}, Blob: BlobID{9}},
	}}
	var list []Entry
	for i, c := range []Command{
		WriteDocs{DB: 5, RevsLimit: 10, Replicated: true, Docs: []Doc{doc}},
		WriteChunk{DB: 5, Blob: BlobID{1}, N: 2, Data: []byte("chunk")},
		DropUpload{DB: 5, Blob: BlobID{1}},
		WriteLocal{DB: 5, ID: "l", Rev: 3, Deleted: true, Body: []byte("{}")},
		OpenDatabase{DB: 5},
		DropDatabase{DB: 5},
		CreateDatabase{db},
		SetState{Name: "n", DB: 5, State: Live},
		SetSecurity{Name: "n", DB: 5, Security: []byte(`{"a":1}`)},
		ForgetDatabase{Name: "n", DB: 5},
		Digest{Nonce: 4},
		NameHistory{History: 6},
		Purge{DB: 5, Keep: 2, Docs: []PurgeDoc{{ID: "x", Revs: []Rev{{1, "a"}}}}},
		SetRevsLimit{Name: "n", DB: 5, Limit: 9},
		SetPurgedInfosLimit{Name: "n", DB: 5, Limit: 8},
	} {
		list = append(list, Entry{Op: OpID{byte(i)}, Time: int64(1000 + i), Cmd: c})
	}
	return list
}

// writeFixture writes a store with rows of every kind, some in tables and some
// in the log.
func writeFixture(t *testing.T, s *Store) {
	t.Helper()
	everyRow(t, s)
	v := s.View()
	_, err := s.WriteView(v, testDB, testView, ViewState{}, ViewState{Seq: 3}, []ViewChange{{"doc01", []Emit{emit("k", "1")}}})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	b, err := s.Batch(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Apply(Position{Index: 3, Term: 2}, Entry{Cmd: NameHistory{History: 8}}); err != nil {
		t.Fatal(err)
	}
	b.Refound(2, 8, []byte("members"), 4)
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	log := s.Log(2)
	for i, e := range fixtureEntries() {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Append(uint64(i+1), [][]byte{data}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.SetValue([]byte("CurrentTerm"), []byte("value")); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew("fixture"); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	commit(t, s, Entry{Cmd: write(Doc{ID: "last", Body: []byte(`{"in":"the log"}`)})})
}

// rowsOf describes all rows of a store.
func rowsOf(t *testing.T, s *Store) string {
	t.Helper()
	var b strings.Builder
	err := source{r: s.db}.each([]byte{0}, []byte{0xff}, func(key, value []byte) (bool, error) {
		fmt.Fprintf(&b, "%+q\t%+q\n", short(key), short(value))
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// trimLogs cuts off the zeros behind the end of logs.
func trimLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*"+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, append(bytes.TrimRight(data, "\x00"), 0, 0, 0), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// short returns the digest of what is long.
func short(b []byte) []byte {
	if len(b) <= 200 {
		return b
	}
	return fmt.Appendf(nil, "%.20q, %d bytes, %x", b, len(b), sha256.Sum256(b))
}

func TestFormatFixture(t *testing.T) {
	golden := filepath.Join(fixture, "rows.txt")
	for name, fs := range fixtureFS(t) {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(fixture, name)
			now := openDir(t, fs, filepath.Join(t.TempDir(), "db"))
			defer now.Close()
			writeFixture(t, now)
			if *update {
				if err := os.RemoveAll(at); err != nil {
					t.Fatal(err)
				}
				s := openDir(t, fs, at)
				writeFixture(t, s)
				if err := os.WriteFile(golden, []byte(rowsOf(t, s)), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Join(at, "LOCK")); err != nil {
					t.Fatal(err)
				}
				trimLogs(t, at)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if rowsOf(t, now) != string(want) {
				t.Error("this release writes other rows than format 1 has: raise Format, or leave the rows as they are")
			}
			dir := filepath.Join(t.TempDir(), "db")
			if err := os.CopyFS(dir, os.DirFS(at)); err != nil {
				t.Fatal(err)
			}
			s := openDir(t, fs, dir)
			defer s.Close()
			if got := rowsOf(t, s); got != string(want) {
				t.Errorf("rows are not those of %s:\n%s", golden, got)
			}
			if found := verified(t, s); len(found) > 0 {
				t.Errorf("Verify: %q", found)
			}
			for i, e := range fixtureEntries() {
				data, err := s.Log(2).Get(uint64(i + 1))
				if err != nil {
					t.Fatal(err)
				}
				got, err := DecodeEntry(data)
				if err != nil {
					t.Fatalf("entry %d: %v", i, err)
				}
				again, err := got.Encode()
				want, failed := e.Encode()
				if err != nil || failed != nil || !bytes.Equal(again, want) {
					t.Errorf("entry %d: %+v, want %+v", i, got, e)
				}
			}
			commit(t, s, Entry{Cmd: write(Doc{ID: "new", Body: []byte(`{}`)})})
		})
	}
}
