package firewall

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A match is a condition on a packet: as nft writes it, and as the kernel reads
// it.
type match struct {
	text  string
	exprs []expr.Any
}

func iif(name string) match    { return device("iifname", expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func iifNot(name string) match { return device("iifname", expr.MetaKeyIIFNAME, expr.CmpOpNeq, name) }
func oif(name string) match    { return device("oifname", expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func oifNot(name string) match { return device("oifname", expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }

// device compares all 16 bytes of a device's name. Without the padding of NULs
// "eth1" would be "eth10" too.
func device(text string, key expr.MetaKey, op expr.CmpOp, name string) match {
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

// ctStates are the kernel's bits (nf_conntrack_common.h).
var ctStates = map[string]uint32{
	"invalid":     expr.CtStateBitINVALID,
	"established": expr.CtStateBitESTABLISHED,
	"related":     expr.CtStateBitRELATED,
	"new":         expr.CtStateBitNEW,
}

// state is a connection in one of the states given. The mask is in the byte
// order of the machine.
func state(names ...string) match {
	var bits uint32
	for _, n := range names {
		bits |= ctStates[n]
	}
	return match{"ct state " + strings.Join(names, ","), []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}}
}

func protocol(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, is(number)}
}

// port is the destination's.
func port(name string, number uint16) match { return ports(name, number, number) }

// ports are the destination's, from the first to the last.
func ports(name string, first, last uint16) match {
	exprs := append(protocol(map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[name]),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	low, high := binary.BigEndian.AppendUint16(nil, first), binary.BigEndian.AppendUint16(nil, last)
	if first == last {
		return match{fmt.Sprintf("%s dport %d", name, first), append(exprs, is(low...))}
	}
	return match{fmt.Sprintf("%s dport %d-%d", name, first, last), append(exprs,
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: low}, &expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: high})}
}

// Types of ICMP messages by nft's names (RFC 792; RFC 4443, 4861, 2710).
var (
	icmp4Types = map[string]byte{"destination-unreachable": 3, "echo-request": 8, "time-exceeded": 11, "parameter-problem": 12}
	icmp6Types = map[string]byte{
		"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
		"mld-listener-query": 130, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136,
	}
)

func icmp4(kind string) match {
	return icmpType("icmp", family(unix.NFPROTO_IPV4), unix.IPPROTO_ICMP, kind, icmp4Types[kind])
}

func icmp6(kind string) match {
	return icmpType("icmpv6", family(unix.NFPROTO_IPV6), unix.IPPROTO_ICMPV6, kind, icmp6Types[kind])
}

func icmpType(name string, exprs []expr.Any, number byte, kind string, code byte) match {
	exprs = append(exprs, protocol(number)...)
	return match{name + " type " + kind, append(exprs,
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, is(code))}
}

func family(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, is(number)}
}

// hopLimit is IPv6's.
func hopLimit(n byte) match {
	return match{fmt.Sprintf("ip6 hoplimit %d", n), append(family(unix.NFPROTO_IPV6),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1}, is(n))}
}

// over is more than as many a second, and as many at once.
func over(n uint32) match {
	return match{fmt.Sprintf("limit rate over %d/second burst %d packets", n, n), []expr.Any{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(n), Unit: expr.LimitTimeSecond, Burst: n, Over: true},
	}}
}
