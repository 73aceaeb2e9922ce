package update_test

import (
	"net/netip"
	"slices"
	"testing"

	"leap.example/appliance/node"
	"leap.example/appliance/update"
)

// TestBeyond has a release on trial see somebody else than its own node.
func TestBeyond(t *testing.T) {
	const own, other = "http://10.99.0.1:4480/", "http://10.99.0.11:4480/"
	d := node.Document{Mesh: &node.Mesh{Address: netip.MustParsePrefix("10.99.0.1/16")}, Updates: &node.Updates{
		Vendor: node.Repository{Sources: []string{own + "vendor/", other + "vendor/"}}, Director: node.Repository{Sources: []string{own + "director/"}},
		Mirror: &node.Mirror{Port: 4480},
	}}
	u := update.Beyond(d)
	if !slices.Equal(u.Vendor.Sources, []string{other + "vendor/"}) || !slices.Equal(u.Director.Sources, []string{own + "director/"}) {
		t.Errorf("it has to see %q and %q", u.Vendor.Sources, u.Director.Sources)
	}
	if len(d.Updates.Vendor.Sources) != 2 {
		t.Error("the document has changed")
	}
	d.Updates.Mirror = nil
	if u := update.Beyond(d); len(u.Vendor.Sources) != 2 {
		t.Errorf("without copies of its own it has to see %q", u.Vendor.Sources)
	}
}
