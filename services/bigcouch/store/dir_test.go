package store

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A power cut soon after the first start takes nothing, however deep the store
// lies.
func TestNewDirectories(t *testing.T) {
	disk := vfs.NewCrashableMem()
	o := Options{Dir: "/perm/couch/deep/db", FS: disk, CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}}, Entry{Cmd: write(Doc{ID: "a", Body: []byte("{}")})})
	o.FS = disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View()
	defer v.Close()
	if d, err := v.Document(testDB, "a"); err != nil || d == nil {
		t.Errorf("after a power cut: %v, %v", d, err)
	}
}
