package firewall

import (
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"leap.example/appliance/node"
)

const (
	meterSize   = 1 << 16         // Addresses that are metered at the same time.
	meterMemory = 2 * time.Minute // How long one that is silent is remembered.

	// Connections that one address of a user begins: as many at once, and then as
	// many a second. What asks and is not answered is forgotten after 30 s, so that
	// these are 600 more.
	burstFlows, paceFlows = 2048, 20
)

// Meters of new connections.
var flows4, flows6 = set{name: "flows4", meter: true}, set{name: "flows6", six: true, meter: true}

// The addresses that are limited.
var limited4, limited6 = set{name: "limited4"}, set{name: "limited6", six: true}

// A metering is of one direction and family.
type metering struct {
	at          match // The device of users.
	side        side  // Where their address is.
	limited     set
	pace, bytes set // Meters.
}

func meterings() []metering {
	var all []metering
	for _, m := range []metering{
		{at: iif(node.TunnelDevice), side: source, limited: limited4},
		{at: iif(node.TunnelDevice), side: source, limited: limited6},
		{at: oif(node.TunnelDevice), side: destination, limited: limited4},
		{at: oif(node.TunnelDevice), side: destination, limited: limited6},
	} {
		name := map[bool]string{true: "6", false: "4"}[m.limited.six]
		if m.side == source {
			name = "up" + name
		} else {
			name = "down" + name
		}
		m.pace = set{name: name + "-pace", six: m.limited.six, meter: true}
		m.bytes = set{name: name + "-bytes", six: m.limited.six, meter: true}
		all = append(all, m)
	}
	return all
}

// beginnings hold what one user begins, so that nobody fills the kernel's table
// of connections for all. The kernel of nodes has nothing that counts those that
// there are (NFT_CONNLIMIT).
func beginnings() []rule {
	var rules []rule
	text := fmt.Sprintf("%d/second burst %d packets", paceFlows, burstFlows)
	for _, m := range []set{flows4, flows6} {
		rate := &expr.Limit{Type: expr.LimitTypePkts, Rate: paceFlows, Unit: expr.LimitTimeSecond, Burst: burstFlows, Over: true}
		rules = append(rules, rule{[]match{iif(node.TunnelDevice), state("new"), metered(source, m, text, rate)}, drop, "too many connections"})
	}
	return rules
}

// sets are those that limits need.
func sets() []set {
	all := []set{limited4, limited6, flows4, flows6}
	for _, m := range meterings() {
		all = append(all, m.pace, m.bytes)
	}
	return all
}

// limits hold what limited addresses send and get below a rate in bytes a second.
//
// The kernel's meters of bytes let a second's worth through at once
// (nft_limit.c: the burst comes on top), by which TCP finds a pace far too high,
// and then loses all that is under way. So large packets have a pace of their own
// before, a little above the rate, of which little comes at once.
func limits(rate int64) []rule {
	pace := max(rate/1300, 10)
	slow := &expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(pace), Unit: expr.LimitTimeSecond, Burst: uint32(max(pace/8, 10)), Over: true}
	few := &expr.Limit{Type: expr.LimitTypePktBytes, Rate: uint64(rate), Unit: expr.LimitTimeSecond, Over: true}
	var rules []rule
	for _, m := range meterings() {
		rules = append(rules,
			rule{[]match{m.at, among(m.side, m.limited), large(), metered(m.side, m.pace, fmt.Sprintf("%d/second burst %d packets", pace, slow.Burst), slow)}, drop, "limited"},
			rule{[]match{m.at, among(m.side, m.limited), metered(m.side, m.bytes, fmt.Sprintf("%d bytes/second burst 0 bytes", rate), few)}, drop, "limited"},
		)
	}
	return rules
}

// metered is what comes beyond the limit that each address has.
func metered(s side, m set, text string, limit *expr.Limit) match {
	address, exprs := s.load(m.six)
	return match{fmt.Sprintf("update @%s { %s limit rate over %s }", m.name, address, text), append(exprs,
		&expr.Dynset{SrcRegKey: 1, SetName: m.name, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{limit}},
	)}
}

// large is a packet that has more than an acknowledgement or a voice.
func large() match {
	const bytes = 576
	return match{fmt.Sprintf("meta length > %d", bytes), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyLEN, Register: 1},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpGt, Register: 1, Data: binaryutil.BigEndian.PutUint32(bytes)},
	}}
}

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
