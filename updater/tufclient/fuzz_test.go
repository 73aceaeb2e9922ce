package tufclient_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"leap.example/updater/tufclient"
)

// FuzzState expects that a file of a state which is read is written as one that
// is read as the same.
func FuzzState(f *testing.F) {
	w := newWorld(f)
	data, err := os.ReadFile(filepath.Join(w.cfg.Dir, "vendor.trusted"))
	must(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		saved, err := tufclient.Salvage(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := tufclient.Salvage(saved); err != nil || !bytes.Equal(saved, again) {
			t.Fatalf("what is saved of it is read as something else: %v", err)
		}
		once, err := tufclient.Decode(data)
		if err != nil {
			return
		}
		if twice, err := tufclient.Decode(once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("it is read as something else: %v", err)
		}
	})
}

// FuzzMetadata reads what a mirror sends, and what those send who may sign: it is
// refused or taken, and nothing panics.
func FuzzMetadata(f *testing.F) {
	w := newWorld(f)
	w.next()
	for name, data := range w.repo.Files {
		if filepath.Dir(name) == "metadata" {
			f.Add(data)
			if !tufclient.Judge(data) {
				f.Errorf("%s is refused", name)
			}
		}
	}
	for _, signed := range []string{
		`{"_type":"timestamp","spec_version":"1.0","version":3,"expires":"2030-01-01T00:00:00Z","meta":{"snapshot.json":null}}`,
		`{"_type":"root","spec_version":"1.0","version":2,"expires":"2030-01-01T00:00:00Z","keys":{"a":null},"roles":{"root":null}}`,
		`{"_type":"targets","spec_version":"1.0","version":3,"expires":"2030-01-01T00:00:00Z","targets":{"a":null},"delegations":null}`,
		`{"_type":"targets","spec_version":"1.0","version":3,"expires":"2030-01-01T00:00:00Z","targets":{},"delegations":{"keys":{"x":null},"roles":[{"name":"a","keyids":["x"],"threshold":1,"paths":["client/*/*/*"]}]}}`,
		`{"_type":"targets","spec_version":"1.0","version":3,"expires":"2030-01-01T00:00:00Z","targets":{},"delegations":{"keys":{},"succinct_roles":{"keyids":["x"],"threshold":1,"bit_length":32,"name_prefix":"b"}}}`,
	} {
		f.Add([]byte(`{"signed":` + signed + `,"signatures":[{"keyid":"x","sig":"00"}]}`))
	}
	f.Fuzz(func(_ *testing.T, data []byte) { tufclient.Judge(data) })
}
