package node

import "time"

// Boot is what init found and did before it started the agent.
type Boot struct {
	Started   time.Time `json:"started"`             // By the clock that the machine had.
	Perm      bool      `json:"perm"`                // The writable partition is mounted.
	Formatted bool      `json:"formatted,omitempty"` // It was blank.
	Trouble   []string  `json:"trouble,omitempty"`   // What needs an operator.
	// Loader is the boot loader that has chosen the release, as it calls itself.
	// Empty: there was none, and no release is ever on trial.
	Loader string `json:"loader,omitempty"`
	Trial  *Trial `json:"trial,omitempty"` // Of the release that runs. Nil: it is good.
}

// A Trial is what a release has until it was found good.
type Trial struct {
	Left   int      `json:"left"`   // Starts that are left.
	Done   int      `json:"done"`   // Starts that are done, with this one.
	Within Duration `json:"within"` // From init's start until the machine goes back to the release before.
}

// Launch is how much a service's process may do beside reading its files. The
// agent writes it, init starts the process with it.
type Launch struct {
	Memory int64    `json:"memory,omitempty"` // Bytes that its heap aims to stay below. 0: a share of the machine's.
	Ports  []uint16 `json:"ports"`            // TCP ports that it may offer. None: those that the kernel chooses.
	Net    bool     `json:"net,omitempty"`    // It manages network devices.
}

// Launch is how s is launched. It offers the ports of its listeners, and on no
// address another one.
func (s Service) Launch() Launch {
	l := Launch{Memory: s.Memory, Net: s.Net}
	for _, on := range s.Listeners {
		if on.Protocol == "tcp" {
			l.Ports = append(l.Ports, on.Port)
		}
	}
	return l
}
