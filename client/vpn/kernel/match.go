package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A match is a condition on a packet, or a change of its marks: as nft writes
// it, and as the kernel reads it.
type match struct {
	text  string
	exprs []expr.Any
}

func iif(name string) match    { return named("iifname", expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func iifNot(name string) match { return named("iifname", expr.MetaKeyIIFNAME, expr.CmpOpNeq, name) }
func oif(name string) match    { return named("oifname", expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func oifNot(name string) match { return named("oifname", expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

// named compares all 16 bytes of a device's name: without the padding of NULs
// "leap0" would be a prefix.
func named(text string, key expr.MetaKey, op expr.CmpOp, name string) match {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	text += map[expr.CmpOp]string{expr.CmpOpEq: " ", expr.CmpOpNeq: " != "}[op] + strconv.Quote(name)
	return match{text, []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: padded},
	}}
}

// is compares what the expression before has loaded.
func is(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// number is a value in the byte order of the machine.
func number(n uint32) []byte { return binaryutil.NativeEndian.PutUint32(n) }

// answers are packets of a connection that was let through, and errors about it.
// The mask is in the byte order of the machine.
func answers() match {
	return match{"ct state established,related", []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: number(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED), Xor: number(0),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: number(0)},
	}}
}

// marked is a packet of a socket with the mark.
func marked(m uint32) match {
	return match{fmt.Sprintf("meta mark %#x", m), []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, is(number(m)...)}}
}

// tracked is a packet of a connection with the mark.
func tracked(m uint32) match {
	return match{fmt.Sprintf("ct mark %#x", m), []expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, is(number(m)...)}}
}

// track gives the packet's connection a mark.
func track(m uint32) match {
	return match{fmt.Sprintf("ct mark set %#x", m), []expr.Any{
		&expr.Immediate{Register: 1, Data: number(m)},
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1},
	}}
}

// of is a packet of a socket that the user made.
func of(uid uint32) match {
	return match{fmt.Sprintf("meta skuid %d", uid), []expr.Any{&expr.Meta{Key: expr.MetaKeySKUID, Register: 1}, is(number(uid)...)}}
}

// metaTime is NFT_META_TIME_NS of linux/netfilter/nf_tables.h (Linux 5.4): the
// machine's clock as the packet passes, nanoseconds since 1970.
const metaTime expr.MetaKey = 30

// before is a packet that passes while the machine's clock is before t. The
// kernel compares bytes, so the clock is brought into network order first.
func before(t time.Time) match {
	return match{fmt.Sprintf("meta time < %d", t.UnixNano()), []expr.Any{
		&expr.Meta{Key: metaTime, Register: 1},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 8, Size: 8},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))},
	}}
}

var transports = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

func carried(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, is(number)}
}

// tcp is every segment.
func tcp() match { return match{"meta l4proto tcp", carried(unix.IPPROTO_TCP)} }

func dport(name string, number uint16) match { return port(name, "dport", 2, number) }
func sport(name string, number uint16) match { return port(name, "sport", 0, number) }

func port(name, end string, offset uint32, number uint16) match {
	return match{fmt.Sprintf("%s %s %d", name, end, number), append(carried(transports[name]),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		is(binary.BigEndian.AppendUint16(nil, number)...),
	)}
}

// Types of the messages by which IPv6 finds neighbours, routers and listeners
// (RFC 4861, 2710, 3810), by nft's names.
var icmp6Types = map[string]byte{
	"mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "mld2-listener-report": 143,
	"nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136,
}

func icmp6(kind string) match {
	return match{"icmpv6 type " + kind, append(append(family(unix.NFPROTO_IPV6), carried(unix.IPPROTO_ICMPV6)...),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, is(icmp6Types[kind]))}
}

// hopLimit is IPv6's: 255 is what comes from the link itself and was not
// forwarded, 1 is what will not be.
func hopLimit(n byte) match {
	return match{fmt.Sprintf("ip6 hoplimit %d", n), append(family(unix.NFPROTO_IPV6),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1}, is(n))}
}

func family(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, is(number)}
}

// version is IPv4 or IPv6, as the address is.
func version(a netip.Addr) match {
	if a.Is4() {
		return match{"meta nfproto ipv4", family(unix.NFPROTO_IPV4)}
	}
	return match{"meta nfproto ipv6", family(unix.NFPROTO_IPV6)}
}

func from(a netip.Addr) match { return within("saddr", 12, 8, netip.PrefixFrom(a, a.BitLen())) }

func to(a netip.Addr) match        { return within("daddr", 16, 24, netip.PrefixFrom(a, a.BitLen())) }
func fromNet(p netip.Prefix) match { return within("saddr", 12, 8, p) }
func toNet(p netip.Prefix) match   { return within("daddr", 16, 24, p) }
func nets(texts string) (all []netip.Prefix) {
	for t := range strings.FieldsSeq(texts) {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// within is an address in a network, at the offset that it has in the header of
// IPv4 or of IPv6.
func within(text string, offset4, offset6 uint32, p netip.Prefix) match {
	name, number, offset := "ip6 ", byte(unix.NFPROTO_IPV6), offset6
	if p.Addr().Is4() {
		name, number, offset = "ip ", unix.NFPROTO_IPV4, offset4
	}
	size := p.Addr().BitLen() / 8
	mask := make([]byte, size)
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	what := p.String()
	if p.IsSingleIP() {
		what = p.Addr().String()
	}
	return match{name + text + " " + what, append(family(number),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(size)},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)},
		is(p.Addr().AsSlice()...),
	)}
}
