package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// A Variant is one of the programs that are released.
type Variant string

// The variants.
const (
	Client Variant = "client" // The user's program.
	Node   Variant = "node"   // The whole image of a node.
)

// Schema is the version of descriptions that this package writes, and the newest
// that it reads. Fields may be added without a new one: readers ignore what they
// do not know.
const Schema = 1

// maxDescription is how long a description may be, in bytes of JSON, with what a
// director adds: names of nodes.
const maxDescription = 64 << 10

// A Range is the oldest and the newest version of a schema, both included.
type Range struct {
	Oldest int `json:"oldest"`
	Newest int `json:"newest"`
}

func (r Range) has(n int) bool { return n >= r.Oldest && n <= r.Newest }

// A Description is what is known of a full release before it is fetched.
type Description struct {
	Schema  int     `json:"schema"`         // [Schema].
	Release string  `json:"release"`        // What all variants that were made together are called.
	Variant Variant `json:"variant"`        // For whom.
	Version string  `json:"version"`        // Its place in the order of releases of the variant.
	OS      string  `json:"os,omitempty"`   // In Go's words; none for a node, which is its own.
	Arch    string  `json:"arch"`           // In Go's words.
	From    string  `json:"from,omitempty"` // The oldest version that can be updated to it; empty: any.
	// State is which schemas of what a machine has stored the release reads; it
	// writes the newest.
	State Range `json:"state"`
	// Documents is which schemas of node documents it takes. Of nodes only.
	Documents Range `json:"documents,omitzero"`
	LeastRAM  int   `json:"least_ram_mib"` // MiB. The root of a node is in memory.
	// Vendor is the SHA-256, in hex, of what is signed of the root that is built into
	// it: by that it takes the releases after it. Empty: none, it is a trial, and whoever
	// keeps the machine says whom it believes.
	Vendor string `json:"vendor,omitempty"`
}

// ErrDescription is that of a description that does not say what it must, wrapped.
var ErrDescription = errors.New("the description of the release is not valid")

// ErrNewer is that of a description that only a newer program reads, wrapped.
var ErrNewer = errors.New("the description of the release is for a newer program: update to an earlier release first")

// Parse reads a description, and checks it.
func Parse(data []byte) (d Description, err error) {
	if len(data) > maxDescription {
		return d, fmt.Errorf("%w: it has %d bytes, more than %d", ErrDescription, len(data), maxDescription)
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return Description{}, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	if d.Schema > Schema {
		return Description{}, fmt.Errorf("%w (schema %d, this one reads %d)", ErrNewer, d.Schema, Schema)
	}
	if err := d.Validate(); err != nil {
		return Description{}, err
	}
	return d, nil
}

// Encode returns the description as [Parse] reads it.
func (d Description) Encode() ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

var word = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

// Validate reports what is missing or contradicts itself.
func (d Description) Validate() error {
	if d.Schema != Schema {
		return fmt.Errorf("%w: schema %d", ErrDescription, d.Schema)
	}
	if err := d.checkMachine(); err != nil {
		return err
	}
	versions := []string{d.Release, d.Version}
	if d.From != "" {
		versions = append(versions, d.From)
	}
	for _, v := range versions {
		if err := CheckVersion(v); err != nil {
			return fmt.Errorf("%w: %w", ErrDescription, err)
		}
	}
	if d.From != "" && Compare(d.From, d.Version) >= 0 {
		return fmt.Errorf("%w: version %s is to come from %s or later", ErrDescription, d.Version, d.From)
	}
	if d.State.Oldest < 1 || d.State.Newest < d.State.Oldest {
		return fmt.Errorf("%w: it reads states %d to %d", ErrDescription, d.State.Oldest, d.State.Newest)
	}
	if d.Variant == Node && (d.Documents.Oldest < 1 || d.Documents.Newest < d.Documents.Oldest) {
		return fmt.Errorf("%w: it takes node documents %d to %d", ErrDescription, d.Documents.Oldest, d.Documents.Newest)
	}
	if d.Variant == Client && d.Documents != (Range{}) {
		return fmt.Errorf("%w: a client takes no node documents", ErrDescription)
	}
	if d.Vendor != "" && !digest.MatchString(d.Vendor) {
		return fmt.Errorf("%w: the root of its vendor is not named by a SHA-256 in hex", ErrDescription)
	}
	if d.LeastRAM < 1 {
		return fmt.Errorf("%w: a least RAM of %d MiB", ErrDescription, d.LeastRAM)
	}
	return nil
}

func (d Description) checkMachine() error {
	switch d.Variant {
	case Client:
		if !word.MatchString(d.OS) {
			return fmt.Errorf("%w: operating system %q", ErrDescription, d.OS)
		}
	case Node:
		if d.OS != "" {
			return fmt.Errorf("%w: a node has no operating system but itself, not %q", ErrDescription, d.OS)
		}
	default:
		return fmt.Errorf("%w: there is no variant %q", ErrDescription, d.Variant)
	}
	if !word.MatchString(d.Arch) {
		return fmt.Errorf("%w: architecture %q", ErrDescription, d.Arch)
	}
	return nil
}
