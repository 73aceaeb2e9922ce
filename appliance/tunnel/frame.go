package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
)

// A setting is a number of the kernel in a file.
type setting struct {
	path  string
	value uint64
	least bool // More is left alone.
}

const netfilter = "/proc/sys/net/netfilter/"

// settings are those of a node that is a gateway, or is none, with as many bytes
// of memory.
func settings(gateway bool, memory uint64) []setting {
	var forward uint64
	if gateway {
		forward = 1
	}
	// These make a machine a router.
	all := []setting{{"/proc/sys/net/ipv4/ip_forward", forward, false}, {"/proc/sys/net/ipv6/conf/all/forwarding", forward, false}}
	if !gateway {
		return all
	}
	// A connection takes some 400 bytes: a twentieth of the memory, at most. By
	// itself the kernel has 4096 for 512 MiB, which two users fill.
	flows := min(max(memory/8192, 1<<15), 1<<20)
	return append(all,
		setting{netfilter + "nf_conntrack_max", flows, true},
		setting{netfilter + "nf_conntrack_buckets", flows / 4, true},
		// Seconds, of TCP that is silent: RFC 5382, REQ-5. The kernel's are five days.
		setting{netfilter + "nf_conntrack_tcp_timeout_established", 2*60*60 + 4*60, false},
	)
}

// Frame has the node forward packets if one of the document's services is a
// gateway, and keep track of as many connections as its memory bears. If none is,
// it does not forward, and the device is removed with all its peers. It returns
// what it did, and needs root.
func Frame(ctx context.Context, d node.Document) (Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var done Plan
	if !d.Gateway() {
		link, err := netlink.LinkByName(node.TunnelDevice)
		if err == nil {
			if err = netlink.LinkDel(link); err == nil {
				done = append(done, "remove "+node.TunnelDevice)
			}
		}
		if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil, fmt.Errorf("removing %s: %w", node.TunnelDevice, err)
		}
	}
	var is unix.Sysinfo_t
	if err := unix.Sysinfo(&is); err != nil {
		return done, fmt.Errorf("asking for the memory: %w", err)
	}
	for _, s := range settings(d.Gateway(), uint64(is.Totalram)*uint64(is.Unit)) {
		changed, err := s.apply()
		if err != nil {
			return done, err
		}
		if changed {
			done = append(done, fmt.Sprintf("%s = %d", s.path, s.value))
		}
	}
	return done, nil
}

// apply makes the setting so, and reports whether it was not. What is not there
// is left alone (a kernel without IPv6), and so is what a namespace of the network
// may not change, since it is the whole machine's.
func (s setting) apply() (bool, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	have, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.path, err)
	}
	if have == s.value || s.least && have > s.value {
		return false, nil
	}
	err = os.WriteFile(s.path, strconv.AppendUint(nil, s.value, 10), 0o644)
	if s.least && errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return err == nil, err
}
