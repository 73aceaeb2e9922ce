package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// chunk is how many elements one message has, and one transaction: a message has
// a length of 16 bits, and a transaction has to fit into the buffer of the socket.
const chunk = 1000

// AddLimited adds to the addresses of a gateway's users who have a limited rate:
// [Gateway.Rate]. Those that are there are left alone, with their counts. What it
// costs does not depend on how many there are. After an error some may be there.
// The error is that there is no gateway's table, or the kernel's.
func AddLimited(ctx context.Context, addresses []netip.Addr) error {
	return limiting(ctx, func(conn *nftables.Conn, s *nftables.Set, six bool) error {
		return add(conn, s, ofSet(addresses, six))
	})
}

// RemoveLimited takes addresses from the limited ones: see [AddLimited]. Those
// that are not there are no error.
func RemoveLimited(ctx context.Context, addresses []netip.Addr) error {
	return limiting(ctx, func(conn *nftables.Conn, s *nftables.Set, six bool) error {
		return take(conn, s, ofSet(addresses, six))
	})
}

// SetLimited makes these the limited addresses, and no others: see [AddLimited].
// It reads all that there are, changes only what differs, and adds before it
// removes.
func SetLimited(ctx context.Context, addresses []netip.Addr) error {
	return limiting(ctx, func(conn *nftables.Conn, s *nftables.Set, six bool) error {
		have, err := conn.GetSetElements(s)
		if err != nil {
			return err
		}
		old, want := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		for _, e := range have {
			if a, ok := netip.AddrFromSlice(e.Key); ok {
				old[a] = true
			}
		}
		var more, less []netip.Addr
		for _, a := range ofSet(addresses, six) {
			if want[a] = true; !old[a] {
				more = append(more, a)
			}
		}
		for a := range old {
			if !want[a] {
				less = append(less, a)
			}
		}
		if err := add(conn, s, more); err != nil {
			return err
		}
		return take(conn, s, less)
	})
}

// limiting changes both sets of limited addresses. The kernel answers before ctx
// is done, or that is the error.
func limiting(ctx context.Context, change func(*nftables.Conn, *nftables.Set, bool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		deadline, _ := ctx.Deadline() // Zero: none.
		return c.SetDeadline(deadline)
	}))
	if err != nil {
		return fmt.Errorf("reaching the firewall: %w", err)
	}
	t := &nftables.Table{Name: gatewayTable, Family: nftables.TableFamilyINet}
	for _, s := range []set{limited4, limited6} {
		err := change(conn, s.kernel(t), s.six)
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("there is no table %s: the gateway's rules are to be applied before", gatewayTable)
		}
		if err != nil {
			return fmt.Errorf("changing %s: %w", s.name, err)
		}
	}
	return nil
}

// ofSet are the addresses of IPv4, or of IPv6.
func ofSet(addresses []netip.Addr, six bool) (list []netip.Addr) {
	for _, a := range addresses {
		if a = a.Unmap(); a.Is6() == six {
			list = append(list, a)
		}
	}
	return list
}

func add(conn *nftables.Conn, s *nftables.Set, addresses []netip.Addr) error {
	for part := range slices.Chunk(addresses, chunk) {
		if err := errors.Join(conn.SetAddElements(s, elements(part)), conn.Flush()); err != nil {
			return err
		}
	}
	return nil
}

// take adds before it removes: the kernel refuses to remove what is not there.
func take(conn *nftables.Conn, s *nftables.Set, addresses []netip.Addr) error {
	for part := range slices.Chunk(addresses, chunk) {
		all := elements(part)
		if err := errors.Join(conn.SetAddElements(s, all), conn.SetDeleteElements(s, all), conn.Flush()); err != nil {
			return err
		}
	}
	return nil
}

func elements(addresses []netip.Addr) []nftables.SetElement {
	all := make([]nftables.SetElement, len(addresses))
	for i, a := range addresses {
		all[i].Key = a.AsSlice()
	}
	return all
}
