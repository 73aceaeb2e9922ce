package launch

import (
	"path"

	"leap.example/appliance/node"
)

// Limits are what a process may still do when it is confined.
type Limits struct {
	Read  []string // Files, and directories with all below. What is missing is left out.
	Write []string // The same for reading and writing. All must be there.
	Ports []uint16 // TCP ports that it may offer, beside those that the kernel chooses.
	// Memory is what the heap aims to stay below, in bytes. 0: a quarter of the
	// machine's.
	Memory int64
	Net    bool // It keeps CAP_NET_ADMIN, if it has it.
}

// ForService are the limits of a service on a node: its own directories, and
// what every program reads.
func ForService(name string, l node.Launch) Limits {
	return Limits{
		Read: []string{
			node.ServiceDir(name),
			"/etc", // Holds authorities, names and time zones, no secret.
			"/tmp", // Only root writes there: /etc/resolv.conf is a link to it.
			"/usr/share/zoneinfo",
			"/proc/self",
			"/proc/sys/net/core/somaxconn",
			"/dev/urandom",
		},
		Write:  []string{path.Dir(node.HealthPath(name)), node.MemoryDir(name), node.StateDir(name), "/dev/null"},
		Ports:  l.Ports,
		Memory: l.Memory,
		Net:    l.Net,
	}
}
