package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const (
	meterSize   = 1 << 16         // Addresses that are metered at the same time.
	meterMemory = 2 * time.Minute // How long one that is silent is remembered.
)

// The sets of a gateway's table.
var (
	limited4, limited6 = set{name: "limited4"}, set{name: "limited6", six: true}
	up4, up6           = set{name: "up4", meter: true}, set{name: "up6", six: true, meter: true}
	down4, down6       = set{name: "down4", meter: true}, set{name: "down6", six: true, meter: true}
)

// kernel is the set in a table of the kernel.
func (s set) kernel(t *nftables.Table) *nftables.Set {
	k := &nftables.Set{Table: t, Name: s.name, KeyType: nftables.TypeIPAddr}
	if s.six {
		k.KeyType = nftables.TypeIP6Addr
	}
	if s.meter {
		k.Dynamic, k.HasTimeout, k.Timeout, k.Size = true, true, meterMemory, meterSize
	}
	return k
}

// above is what an address sends or gets beyond a rate in bytes a second. The
// kernel lets a second's worth through at once (nft_limit.c: the burst comes on
// top), which is as much as TCP needs.
func above(s side, m set, rate int64) match {
	text, exprs := s.load(m.six)
	return match{fmt.Sprintf("update @%s { %s limit rate over %d bytes/second burst 0 bytes }", m.name, text, rate), append(exprs,
		&expr.Dynset{SrcRegKey: 1, SetName: m.name, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{
			&expr.Limit{Type: expr.LimitTypePktBytes, Rate: uint64(rate), Unit: expr.LimitTimeSecond, Over: true},
		}},
	)}
}

// SetLimited makes these the addresses of a gateway's users who have a limited
// rate: [Gateway.Rate]. No others have. It changes only what differs, in one
// transaction, and leaves counts alone. The error is that there is no gateway's
// table, or the kernel's.
func SetLimited(ctx context.Context, addresses []netip.Addr) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("reaching the firewall: %w", err)
	}
	t := &nftables.Table{Name: gatewayTable, Family: nftables.TableFamilyINet}
	for _, s := range []set{limited4, limited6} {
		have, err := conn.GetSetElements(s.kernel(t))
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("there is no table %s: the gateway's rules are to be applied before", gatewayTable)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.name, err)
		}
		old, want := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		for _, e := range have {
			if a, ok := netip.AddrFromSlice(e.Key); ok {
				old[a] = true
			}
		}
		for _, a := range addresses {
			if a = a.Unmap(); a.Is6() == s.six {
				want[a] = true
			}
		}
		err = errors.Join(
			change(conn.SetDeleteElements, s.kernel(t), old, want),
			change(conn.SetAddElements, s.kernel(t), want, old),
		)
		if err != nil {
			return fmt.Errorf("changing %s: %w", s.name, err)
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("writing the limited addresses: %w", err)
	}
	return nil
}

// chunk is how many elements one message has: its length is one of 16 bits.
const chunk = 500

// change adds or removes those that are in one set and not in the other.
func change(do func(*nftables.Set, []nftables.SetElement) error, s *nftables.Set, these, those map[netip.Addr]bool) error {
	var all []nftables.SetElement
	for _, a := range slices.SortedFunc(maps.Keys(these), netip.Addr.Compare) {
		if !those[a] {
			all = append(all, nftables.SetElement{Key: a.AsSlice()})
		}
	}
	for part := range slices.Chunk(all, chunk) {
		if err := do(s, part); err != nil {
			return err
		}
	}
	return nil
}
