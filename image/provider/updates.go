package provider

import "leap.example/appliance/node"

// Updates is how a node comes to newer releases by itself. It does if vendor.sources
// names a source or a root, or if it keeps copies; otherwise it takes those that
// "leap update" gives it.
type Updates struct {
	// Vendor has the releases. Its root counts only in releases that were built
	// without one (leap image build --vendor-root): those of developers.
	Vendor Repository `json:"vendor"`
	// Director is the provider's own repository, which says what of the vendor's
	// its nodes may run. Default of root: "updates/director.json".
	Director Repository    `json:"director"`
	Poll     node.Duration `json:"poll"`    // How often both are asked, half of it more or less. Default: 6h.
	Windows  []node.Window `json:"windows"` // When the node may restart for an update. Default: at any time.
	Canary   bool          `json:"canary"`  // The node is among the first of each release.
	// Mirror has the node keep copies of both repositories, which the nodes of its
	// environment ask first: of the vendor's from his sources, of the director's from
	// "leap update push", and of both from bundles.
	Mirror *Mirror `json:"mirror"`
}

// Mirror is how a node keeps copies.
type Mirror struct {
	Keep int `json:"keep"` // Newest releases. Default: 2.
}

// MirrorPort is where nodes serve their copies to the mesh, TCP.
const MirrorPort = 4480

// A Repository is one of The Update Framework.
type Repository struct {
	Sources []string `json:"sources"` // URLs of trees of its files, in the order in which they are asked.
	Root    string   `json:"root"`    // File below files/ with a version of its root, root.json.
}

// directorRoot is where the root of the director is, if nothing else is said.
const directorRoot = "updates/director.json"

// On reports whether the node updates itself.
func (u Updates) On() bool {
	return len(u.Vendor.Sources) > 0 || u.Vendor.Root != "" || u.Mirror != nil
}

// defaults puts in what the operator left out.
func (u *Updates) defaults() {
	if u.On() && u.Director.Root == "" {
		u.Director.Root = directorRoot
	}
}

// checkUpdates finds what only the instance knows; what a document may say is found
// when it is compiled.
func (i *Instance) checkUpdates(n *Node) (errs []error) {
	u := n.Updates
	if !u.On() {
		if len(u.Director.Sources) > 0 {
			errs = append(errs, n.Errorf("/updates/vendor", "its sources are missing: without them the node does not update itself"))
		}
		return errs
	}
	for pointer, file := range map[string]string{"/updates/vendor/root": u.Vendor.Root, "/updates/director/root": u.Director.Root} {
		if _, ok := i.Files[file]; file != "" && !ok {
			errs = append(errs, n.Errorf(pointer, "there is no file files/%s", file))
		}
	}
	return errs
}
