package tuftest

import (
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"leap.example/updater/target"
)

// Node describes a release of nodes that all of them can take.
func Node(version string) target.Description {
	return target.Description{
		Schema: target.Schema, Release: version, Variant: target.Node, Version: version, Arch: "amd64",
		State: target.Range{Oldest: 1, Newest: 1}, Documents: target.Range{Oldest: 1, Newest: 1}, LeastRAM: 64,
	}
}

// AddNode lists such a release, and publishes its bytes.
func (r *Repo) AddNode(version string, content []byte) {
	r.t.Helper()
	d := Node(version)
	custom, err := d.Encode()
	must(r.t, err)
	r.Add("release", d.Path(), content, custom)
}

// DelegatePlans gives plans of releases a role of their own, "rollout", as vendors do.
func (r *Repo) DelegatePlans() {
	r.t.Helper()
	r.Delegate("targets", metadata.DelegatedRole{Name: "rollout", Threshold: 1, Terminating: true, Paths: []string{target.PlanPath}}, NewKey(r.t))
}
