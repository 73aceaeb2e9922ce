package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries has one entry for each command, with every member set.
func entries(t testing.TB) []Entry {
	t.Helper()
	rev, err := ParseRev("2-00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	odd, err := ParseRev("1-odd")
	if err != nil {
		t.Fatal(err)
	}
	att := Att{Name: "a", Type: "text/plain", Digest: [32]byte{1, 2}, MD5: [16]byte{3}, Length: 1 << 40, RevPos: 2}
	db := Database{ID: 7, Shard: 3, State: Creating, RevsLimit: 9, Created: 5, Security: []byte(`{"a":1}`), Name: "x"}
	spread := db
	spread.Shards = []uint16{3, 4}
	var list []Entry
	for _, c := range []Command{
		WriteDocs{DB: 1 << 63, RevsLimit: 1000, Replicated: true, Docs: []Doc{
			{ID: "a\xff\x00", Rev: rev, Path: []Rev{rev, odd}, Deleted: true, MustExist: true, Body: []byte(`{"x":"\u00e9"}`), Atts: []NewAtt{
				{Att: att, Stub: true}, {Att: att, Data: []byte{}}, {Att: att, Data: []byte{0, 1, 255}}, {Att: att, Blob: BlobID{9}},
			}},
			{Path: []Rev{odd}},
			{ID: "r", Refused: &Refusal{"forbidden", "no"}},
		}, Judged: 3},
		WriteChunk{DB: 1, Blob: BlobID{1}, N: 2, Data: bytes.Repeat([]byte{0xc1}, 300)},
		DropUpload{DB: 1, Blob: BlobID{1}},
		WriteLocal{DB: 1, ID: "l", Rev: 3, Deleted: true, Body: []byte("{}")},
		OpenDatabase{DB: 1},
		DropDatabase{DB: 1},
		CreateDatabase{Database: db},
		SetState{Name: "x", DB: 1, State: Live},
		SetSecurity{Name: "x", DB: 1, Security: []byte("{}")},
		ForgetDatabase{Name: "x", DB: 1},
		Digest{Nonce: 4},
		NameHistory{History: 5},
		Purge{DB: 1, Keep: 2, Docs: []PurgeDoc{{ID: "x", Revs: []Rev{rev, odd}}}},
		SetRevsLimit{Name: "x", DB: 1, Limit: 5},
		SetPurgedInfosLimit{Name: "x", DB: 1, Limit: 5},
		CreateSpread{Database: spread},
		RaiseVersion{Version: 2, Since: 9},
	} {
		list = append(list, Entry{Op: OpID{1, 2, 3}, Time: 1 << 42, Cmd: c})
	}
	return list
}

// Commands come out of a log as they went in: whether a slice is nil means
// something (NewAtt.Data).
func TestEncodeEntry(t *testing.T) {
	list := entries(t)
	if len(list) != len(commands) {
		t.Errorf("%d commands are tested, there are %d", len(list), len(commands))
	}
	for _, e := range list {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeEntry(data)
		if err != nil {
			t.Fatalf("%T: %v", e.Cmd, err)
		}
		if diff := cmp.Diff(e, got, cmp.Comparer(func(a, b Rev) bool { return a == b })); diff != "" {
			t.Errorf("%T: %s", e.Cmd, diff)
		}
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	data, err := entries(t)[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	pathless, err := Entry{Cmd: WriteDocs{Replicated: true, Docs: []Doc{{ID: "a"}}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	raise, err := Entry{Cmd: RaiseVersion{Version: EntryVersion}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"raises to more than it is": append([]byte{EntryVersion - 1}, raise[1:]...),
		"version 0":                 append([]byte{0}, data[1:]...),
		"no path":                   pathless,
		"nothing":                   nil,
		"short":                     data[:entryHead-1],
		"version":                   append([]byte{EntryVersion + 1}, data[1:]...),
		"command":                   append(append([]byte{}, data[:entryHead-1]...), 0),
		"cut":                       data[:len(data)-1],
	} {
		if _, err := DecodeEntry(bad); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range entries(f) {
		data, err := e.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeEntry(data)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeEntry(again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
