package uki

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// serviceName keeps names of services from being paths.
var serviceName = regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`)

// rootfs returns the archive of a node's file system.
func rootfs(o Options, program, release, sbom []byte) ([]byte, error) {
	file := func(path string, mode uint32, data []byte) node { return node{path, modeFile | mode, data} }
	directory := func(path string, mode uint32) node { return node{path, modeDirectory | mode, nil} }
	link := func(path, to string) node { return node{path, modeLink | 0o777, []byte(to)} }

	nodes := []node{
		file("leapd", 0o755, program),
		link("init", "leapd"),
		directory("dev", 0o755),
		directory("proc", 0o755),
		directory("sys", 0o755),
		directory("tmp", 0o1777),
		directory("run", 0o755),
		directory("perm", 0o755),
		directory("boot", 0o700),
		link("var", "/perm/var"),
		directory("user", 0o755),
		directory("etc", 0o755),
		directory("etc/leap", 0o755),
		file("etc/hostname", 0o444, []byte("leap\n")), // Until the node document names it.
		file("etc/hosts", 0o444, []byte("127.0.0.1 localhost\n::1 localhost\n")),
		link("etc/resolv.conf", "/tmp/resolv.conf"),
		file("etc/sbom.json", 0o444, sbom),
		file("etc/leap/release.json", 0o444, release),
	}
	for _, name := range o.Services {
		if !serviceName.MatchString(name) {
			return nil, fmt.Errorf("%q is no name of a service", name)
		}
		nodes = append(nodes, link("user/"+name, "/leapd"))
	}
	if len(o.Certificate) > 0 {
		nodes = append(nodes, file("etc/leap/secureboot.pem", 0o444, o.Certificate))
	}
	if len(o.Vendor) > 0 {
		nodes = append(nodes, file("etc/leap/vendor.json", 0o444, o.Vendor))
	}
	if len(o.CABundle) > 0 {
		// Where crypto/x509 looks first.
		nodes = append(nodes, directory("etc/ssl", 0o755), directory("etc/ssl/certs", 0o755),
			file("etc/ssl/certs/ca-certificates.crt", 0o444, o.CABundle))
	}
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.path, b.path) })
	for i := range nodes[1:] {
		if nodes[i].path == nodes[i+1].path {
			return nil, fmt.Errorf("/%s is in the file system twice", nodes[i].path)
		}
	}
	return archive(nodes), nil
}
