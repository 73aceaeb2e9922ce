package efi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"leap.example/updater/target"
)

// A Release is what an image says of itself, in a file of its own file system.
type Release struct {
	Version string `json:"version"` // See [target.CheckVersion].
	// The oldest and the newest schema of node documents that it reads.
	OldestSchema int `json:"oldest_schema"`
	NewestSchema int `json:"newest_schema"`
	// When its source was last changed: no clock of a node that runs it can be
	// earlier. It is given to whoever makes the release, so that all make the same.
	Built time.Time `json:"built"`
	// What a machine must have for it to start, in MiB.
	LeastRAM int `json:"least_ram_mib"`
}

// ParseRelease reads a release strictly.
func ParseRelease(data []byte) (Release, error) {
	var r Release
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Release{}, fmt.Errorf("release: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Release{}, errors.New("release: data behind the object")
	}
	if err := r.Validate(); err != nil {
		return Release{}, err
	}
	return r, nil
}

// Validate reports what is missing or contradicts itself.
func (r Release) Validate() error {
	if err := target.CheckVersion(r.Version); err != nil {
		return err
	}
	if r.OldestSchema < 1 || r.NewestSchema < r.OldestSchema {
		return fmt.Errorf("release: schemas %d to %d", r.OldestSchema, r.NewestSchema)
	}
	if r.Built.IsZero() {
		return errors.New("release: no time at which it was built")
	}
	if r.LeastRAM < 1 {
		return fmt.Errorf("release: a least RAM of %d MiB", r.LeastRAM)
	}
	return nil
}
