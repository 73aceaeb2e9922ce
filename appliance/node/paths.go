package node

import (
	"maps"
	"path"
	"slices"
)

// Where things are on a node. What is below /perm outlives a restart; what is
// below /run is made anew from it at every start and lies in memory.
const (
	Perm        = "/perm"                  // The writable partition.
	Generations = Perm + "/node"           // Documents, by generation.
	KeyDir      = Perm + "/keys"           // Secrets; nobody but root reads it.
	LogDir      = Perm + "/log"            // The last log lines of each service.
	StateDirs   = Perm + "/state"          // One directory for each service.
	RunDir      = "/run/leap"              // One directory for each service.
	ReleaseFile = "/etc/leap/release.json" // What image this is.
	ReleaseDir  = Perm + "/releases"       // What is known of other releases.
	UpdateDir   = Perm + "/update"         // What the node needs to update itself.

	// CertificateFile is what the firmware checks releases with, PEM. None: it
	// does not.
	CertificateFile = "/etc/leap/secureboot.pem"
	// VendorFile is a root of the vendor's repository, as its signers have signed
	// it: with it, no document says whom to trust for releases. None: the release
	// is one of developers.
	VendorFile = "/etc/leap/vendor.json"
	ESPDir     = "/boot"         // Where the boot partition is mounted while it is used.
	ESPLock    = "/run/esp.lock" // Locked meanwhile.

	// Of the account of [Slot], for root alone.
	SlotPassword  = "/run/agent/slot.password"
	SlotAuthority = "/run/agent/slot.crt"

	ControlSocket = "/run/init.sock"          // On which init is commanded, by root.
	BootFile      = RunDir + "/boot.json"     // [Boot].
	IdentityFile  = RunDir + "/identity.json" // The [Signed] identity that the node has taken.
)

// MeshDevice is the network device of the mesh, and TunnelDevice that of the
// users of a gateway.
const (
	MeshDevice   = "wg-mesh"
	TunnelDevice = "wg-gw"
)

// ServiceDir is the directory that holds a service's configuration.
func ServiceDir(service string) string { return path.Join(RunDir, service) }

// ConfigPath is the path of a service's configuration.
func ConfigPath(service string) string { return path.Join(ServiceDir(service), "config.json") }

// HealthPath is the path of the socket on which a service tells how it is.
func HealthPath(service string) string { return path.Join(ServiceDir(service), "health", "sock") }

// TaskPath is the path of the socket on which a service does tasks for root.
func TaskPath(service string) string { return path.Join(ServiceDir(service), "health", "tasks") }

// MemoryDir is the directory in memory that a service owns. It stays over restarts
// of the service and new configurations, and is gone after one of the node.
func MemoryDir(service string) string { return path.Join(ServiceDir(service), "memory") }

// LaunchPath is the path of a service's [Launch], which root alone reads.
func LaunchPath(service string) string { return path.Join(ServiceDir(service), "launch.json") }

// FilePath is the path of one of a service's files.
func FilePath(service, name string) string { return path.Join(ServiceDir(service), "files", name) }

// SecretPath is the path of one of a service's secrets.
func SecretPath(service, name string) string { return path.Join(ServiceDir(service), "secrets", name) }

// StateDir is the directory on the writable partition that a service owns.
func StateDir(service string) string { return path.Join(StateDirs, service) }

// ids are the user and group ids of services. An id is never given to another
// service, since files on the writable partition belong to it for ever.
var ids = map[string]int{
	"bigcouch":   1001,
	"ca":         1002,
	"couchsetup": 1003,
	"dns":        1004,
	"mx":         1005,
	"nickserver": 1006,
	"relay":      1007,
	"soledad":    1008,
	"tapicero":   1009,
	"webapp":     1010,
	"gateway":    1011,
}

// ID is the user id, and the group id, of a service; ok says whether there is
// such a service.
func ID(service string) (id int, ok bool) {
	id, ok = ids[service]
	return id, ok
}

// Services are the names of all services that a node may run, sorted.
func Services() []string { return slices.Sorted(maps.Keys(ids)) }
