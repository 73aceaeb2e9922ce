package main

import (
	"maps"
	"slices"
	"testing"

	"leap.example/appliance/node"
)

// TestEveryServiceHasAnID holds the services of the binary against those of the
// node document.
func TestEveryServiceHasAnID(t *testing.T) {
	built := slices.Sorted(maps.Keys(services()))
	if known := node.Services(); !slices.Equal(built, known) {
		t.Errorf("the binary has %v, the node document %v", built, known)
	}
}
