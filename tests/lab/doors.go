package lab

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"leap.example/qemu/cluster"
	"leap.example/qemu/vnet"
)

// Doors brings the public ports of all nodes to this machine, until the test ends,
// with a name server that says so. We have to be allowed to listen below port 1024.
func (l *Lab) Doors() *vnet.Doors {
	l.t.Helper()
	var names []string
	for _, n := range l.Nodes() {
		names = append(names, n.Name())
	}
	doors, err := l.Cluster.Doors()
	l.Op.check(err)
	targets, _ := l.Op.Targets(names...)
	for _, target := range targets {
		for _, port := range cluster.PublicPorts(target.Document) {
			l.Op.check(doors.Open(netip.AddrPortFrom(l.Node(target.Document.Node).Addr(), port)))
		}
	}
	return doors
}

// Leapc builds the client into the lab's directory.
func (l *Lab) Leapc() string {
	l.t.Helper()
	path := filepath.Join(l.Dir, "leapc")
	cmd := exec.CommandContext(l.t.Context(), "go", "build", "-o", path, "leap.example/client/cmd/leapc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	return path
}
