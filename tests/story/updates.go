package main

import (
	"os"
	"path/filepath"

	"leap.example/tests/play"
	"leap.example/tests/vendor"
)

// nextVersion is that of the client which takes the place of the one that the
// story begins with.
const nextVersion = "1.1.0"

// findVendor makes the client's vendor.
func (s *scene) findVendor() error {
	dir := filepath.Join(s.Dir, "vendor")
	if err := os.RemoveAll(dir); err != nil { // Of a story that was interrupted.
		return err
	}
	var err error
	if s.vendor, err = vendor.New(s.Ctx, dir); err != nil {
		return err
	}
	s.Vendor = play.Vendor{Source: s.vendor.Source, Root: s.vendor.Root, Release: s.release}
	return nil
}

// release builds a newer client, and has the vendor's signers publish it.
func (s *scene) release() (string, error) {
	program := filepath.Join(s.Dir, "bin", "leapc-"+nextVersion)
	if err := vendor.Build(s.Ctx, nextVersion, program); err != nil {
		return "", err
	}
	return nextVersion, s.vendor.Release(s.Ctx, nextVersion, program)
}
