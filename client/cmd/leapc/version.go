package main

import (
	_ "embed"
	"runtime"
	"time"

	"leap.example/client/session"
	"leap.example/client/update"
)

// What the linker says of a release: -X main.version=1.4.0, and when it was made,
// -X main.built=2026-11-27T12:00:00Z. Other builds are of session.Version, and of
// no time.
var version, built string

// vendorJSON is who vouches for updates of this build: PREFIX/vendor.json's form
// (update.Vendor). A vendor puts a root and sources in its place before building.
//
//go:embed vendor.json
var vendorJSON []byte

// stored is the schema of what the client stores in its home. It is raised when a
// release writes what the one before does not read.
const stored = 1

func ownVersion() string {
	if version == "" {
		return session.Version
	}
	return version
}

func builtAt() time.Time {
	t, err := time.Parse(time.RFC3339, built)
	if err != nil {
		return time.Time{}
	}
	return t
}

// says is what this program says of itself when it is tried.
func says() update.Says {
	return update.Says{Schema: 1, Version: ownVersion(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}
