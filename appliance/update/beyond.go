package update

import (
	"slices"
	"strings"

	"leap.example/appliance/node"
)

// beyond is what a document says of updates, without the copies that the node keeps
// itself: a release that reaches nobody would see them, and prove nothing. A node that
// has nothing else is brought its updates, and keeps them.
func beyond(d node.Document) node.Updates {
	u := *d.Updates
	if u.Mirror == nil || d.Mesh == nil {
		return u
	}
	own := "http://" + d.Mesh.Address.Addr().String() + ":"
	for _, r := range []*node.Repository{&u.Vendor, &u.Director} {
		others := slices.DeleteFunc(slices.Clone(r.Sources), func(s string) bool { return strings.HasPrefix(s, own) })
		if len(others) > 0 {
			r.Sources = others
		}
	}
	return u
}
