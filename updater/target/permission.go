package target

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// A Permission is what a provider's director adds to the description of a release
// that it lists, as its member "permission": which nodes may take it, and from when
// on. It holds back, and makes nobody take anything.
type Permission struct {
	From  time.Time `json:"from,omitzero"`   // Zero: at once.
	Nodes []string  `json:"nodes,omitempty"` // Names of the nodes that may. None: all.
}

// maxNodes is how many nodes a permission may name.
const maxNodes = 512

// permitted is what a director lists.
type permitted struct {
	Description
	Permission Permission `json:"permission,omitzero"`
}

// Permitted returns the description with a permission, as a director lists it.
func (d Description) Permitted(p Permission) ([]byte, error) {
	if len(p.Nodes) > maxNodes {
		return nil, fmt.Errorf("%w: a permission names at most %d nodes, not %d", ErrDescription, maxNodes, len(p.Nodes))
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(permitted{d, p})
}

// ParsePermission reads the permission of what a director lists. Without one it
// permits everything.
func ParsePermission(custom []byte) (Permission, error) {
	var p permitted
	if len(custom) > maxDescription {
		return Permission{}, fmt.Errorf("%w: it has %d bytes, more than %d", ErrDescription, len(custom), maxDescription)
	}
	if err := json.Unmarshal(custom, &p); err != nil {
		return Permission{}, fmt.Errorf("%w: %w", ErrDescription, err)
	}
	return p.Permission, nil
}

// Due returns from when on the machine may take a release; zero: always. It is
// ErrHeld if the machine may not at all.
func (p Permission) Due(m Machine) (time.Time, error) {
	if len(p.Nodes) > 0 && !slices.Contains(p.Nodes, m.Name) {
		return time.Time{}, fmt.Errorf("%w: the provider allows it to %d nodes, and not to %q", ErrHeld, len(p.Nodes), m.Name)
	}
	return p.From, nil
}
