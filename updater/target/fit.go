package target

import (
	"errors"
	"fmt"
)

// A Machine is what an update is for.
type Machine struct {
	Variant  Variant
	Name     string // Of a node, as its provider calls it.
	OS, Arch string // In Go's words; no OS on a node.
	Version  string // What runs.
	State    int    // The schema of what is stored.
	Document int    // The schema of the node document in force; 0: none.
	RAM      int    // MiB; 0: not known.
}

// Why a machine cannot take a release, wrapped.
var (
	// ErrOther is a release for other machines.
	ErrOther = errors.New("the release is for other machines")
	// ErrDowngrade is a release that is not newer than what runs.
	ErrDowngrade = errors.New("the release is not newer than what runs")
	// ErrStep is a release that needs another one in between.
	ErrStep = errors.New("the release cannot be reached in one step: update to one in between first")
	// ErrState is a release that does not read what the machine has stored.
	ErrState = errors.New("the release does not read what is stored here")
	// ErrMemory is a release for a machine with more memory.
	ErrMemory = errors.New("the release needs more memory than there is")
)

// Updates reports whether the release is for machines like this one, and newer than
// what runs there. Whether it can take it, [Description.Fits] says.
func (d Description) Updates(m Machine) bool {
	return d.isFor(m) && Compare(d.Version, m.Version) > 0
}

func (d Description) isFor(m Machine) bool {
	return d.Variant == m.Variant && d.OS == m.OS && d.Arch == m.Arch
}

// Fits reports why the machine cannot take the release.
func (d Description) Fits(m Machine) error {
	switch {
	case !d.isFor(m):
		return fmt.Errorf("%w: for %s %s, this is %s %s", ErrOther, d.Variant, d.platform(), m.Variant,
			Description{Variant: m.Variant, OS: m.OS, Arch: m.Arch}.platform())
	case Compare(d.Version, m.Version) <= 0:
		return fmt.Errorf("%w: %s, and %s runs", ErrDowngrade, d.Version, m.Version)
	case d.From != "" && Compare(m.Version, d.From) < 0:
		return fmt.Errorf("%w: to %s from %s or later, and %s runs", ErrStep, d.Version, d.From, m.Version)
	case !d.State.has(m.State):
		return fmt.Errorf("%w: states %d to %d, and here is %d", ErrState, d.State.Oldest, d.State.Newest, m.State)
	case m.Document != 0 && !d.Documents.has(m.Document):
		return fmt.Errorf("%w: node documents %d to %d, and here is %d", ErrState, d.Documents.Oldest, d.Documents.Newest, m.Document)
	case m.RAM != 0 && m.RAM < d.LeastRAM:
		return fmt.Errorf("%w: %d MiB of %d", ErrMemory, m.RAM, d.LeastRAM)
	}
	return nil
}
