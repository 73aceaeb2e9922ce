package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Forget ends the connections of addresses in the tunnel: no packet comes back
// by them. It reads all that the kernel keeps track of, so many addresses cost
// what one does. It is over soon after ctx is.
func (d *Device) Forget(ctx context.Context, addresses []netip.Addr) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	four, six := flowsOf{ctx, map[netip.Addr]bool{}}, flowsOf{ctx, map[netip.Addr]bool{}}
	for _, a := range addresses {
		if a = a.Unmap(); a.Is4() {
			four.addresses[a] = true
		} else {
			six.addresses[a] = true
		}
	}
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("reaching the kernel's connections: %w", err)
	}
	defer h.Close()
	if deadline, ok := ctx.Deadline(); ok {
		// Of each answer, rounded up to what is none at all.
		if err := h.SetSocketTimeout(max(time.Until(deadline), time.Millisecond)); err != nil {
			return fmt.Errorf("reaching the kernel's connections: %w", err)
		}
	}
	var errs []error
	for family, flows := range map[netlink.InetFamily]flowsOf{netlink.FAMILY_V4: four, netlink.FAMILY_V6: six} {
		if len(flows.addresses) == 0 || ctx.Err() != nil {
			continue
		}
		if _, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, flows); err != nil {
			errs = append(errs, fmt.Errorf("forgetting connections: %w", err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// flowsOf are the connections of addresses, until ctx is done.
type flowsOf struct {
	ctx       context.Context
	addresses map[netip.Addr]bool
}

// MatchConntrackFlow implements [netlink.CustomConntrackFilter].
func (f flowsOf) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if f.ctx.Err() != nil {
		return false
	}
	for _, ip := range []net.IP{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		if a, ok := netip.AddrFromSlice(ip); ok && f.addresses[a.Unmap()] {
			return true
		}
	}
	return false
}
