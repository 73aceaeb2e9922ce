package node

import (
	"time"
)

// Mirror has a node keep copies of both repositories, for itself and for the other
// nodes of the mesh, and so of nodes' releases alone. Whatever it copies it verifies first, and nobody trusts it.
type Mirror struct {
	// Vendor and Director are URLs of trees to copy from, beside what operators
	// bring as bundles. None: only that.
	Vendor   []string `json:"vendor,omitempty"`
	Director []string `json:"director,omitempty"`
	Keep     int      `json:"keep,omitempty"` // Newest releases. 0: 2.
	Port     uint16   `json:"port"`           // TCP, in the mesh, where the copies are served. Required.
}

// MirrorDir is where a node keeps its copies.
const MirrorDir = Perm + "/mirror"

// PathMirror of the agent's API. GET: what the node has copied, a list of [Copy]. PUT
// with a bundle, a tar, whose length the request names: the same, once the node has
// verified the bundle and copied what is new in it.
const PathMirror = "/v1/mirror"

// A Copy is what a node has of a repository.
type Copy struct {
	Name     string    `json:"name"`               // "vendor" or "director".
	Releases []string  `json:"releases,omitempty"` // Versions of nodes' releases.
	Expires  time.Time `json:"expires,omitzero"`   // From then on nobody takes anything from it.
	Copied   time.Time `json:"copied,omitzero"`    // When it was last found to be the newest, by the node's clock.
	Error    string    `json:"error,omitempty"`    // Why it could not be brought up to date, or what was damaged.
}

const maxKeep = 100

func (c *checker) mirror(d Document) {
	if d.Updates == nil || d.Updates.Mirror == nil {
		return
	}
	m := *d.Updates.Mirror
	c.sources("/updates/mirror/vendor", m.Vendor)
	c.sources("/updates/mirror/director", m.Director)
	if m.Keep < 0 || m.Keep > maxKeep {
		c.failf("/updates/mirror/keep", "between 1 and %d, or 0 for 2", maxKeep)
	}
	switch {
	case d.Mesh == nil:
		c.failf("/updates/mirror", "this node has no mesh, where copies are served")
	case m.Port == 0 || m.Port == d.Agent.Port:
		c.failf("/updates/mirror/port", "a port is required, that the agent has not")
	}
}
