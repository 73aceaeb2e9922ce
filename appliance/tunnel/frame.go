package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"

	"leap.example/appliance/node"
)

// forwarding are the settings that make a machine a router.
var forwarding = []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"}

// Frame has the node forward packets if one of the document's services is a
// gateway. If none is, it does not, and the device is removed with all its peers.
// It returns what it did, and needs root.
func Frame(ctx context.Context, d node.Document) (Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var done Plan
	value := "1"
	if !d.Gateway() {
		value = "0"
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
	for _, path := range forwarding {
		have, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // A kernel without IPv6.
		}
		if err == nil && strings.TrimSpace(string(have)) != value {
			if err = os.WriteFile(path, []byte(value), 0o644); err == nil {
				done = append(done, path+" = "+value)
			}
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
