package update

import (
	"encoding/json"
	"io/fs"
	"time"

	"leap.example/updater/tuftest"
)

// A faulty is a disk of package tuftest in the place of the machine's.
type faulty struct{ *tuftest.Disk }

// Open implements disk.
func (f faulty) Open(path string, mode fs.FileMode) (file, error) { return f.OpenFile(path, mode) }

// On returns the configuration with another disk.
func (c Config) On(d *tuftest.Disk) Config {
	c.disk = faulty{d}
	return c
}

// DecodeState reads a state, and writes it again.
func DecodeState(data []byte) ([]byte, error) {
	s, err := parseState(data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// About is how long a watcher waits that is to wait about so long.
func About(d time.Duration) time.Duration { return about(d) }
