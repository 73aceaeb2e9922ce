package firewall

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A side of a packet is where one of its addresses is: how nft calls it, and its
// offset in the header of IPv4 and of IPv6.
type side struct {
	name             string
	offset4, offset6 uint32
}

var (
	source      = side{"saddr", 12, 8}
	destination = side{"daddr", 16, 24}
)

func from(p netip.Prefix) match    { return source.in(p, expr.CmpOpEq) }
func fromNot(p netip.Prefix) match { return source.in(p, expr.CmpOpNeq) }
func to(p netip.Prefix) match      { return destination.in(p, expr.CmpOpEq) }
func toNot(p netip.Prefix) match   { return destination.in(p, expr.CmpOpNeq) }

// at is one address as a destination.
func at(a netip.Addr) match { return to(netip.PrefixFrom(a, a.BitLen())) }

// load puts the address into register 1, of packets of one family only. text is
// how nft calls it.
func (s side) load(six bool) (text string, exprs []expr.Any) {
	name, number, offset, size := "ip ", byte(unix.NFPROTO_IPV4), s.offset4, uint32(4)
	if six {
		name, number, offset, size = "ip6 ", unix.NFPROTO_IPV6, s.offset6, 16
	}
	return name + s.name, append(family(number), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
}

// in compares with a network.
func (s side) in(p netip.Prefix, op expr.CmpOp) match {
	p = p.Masked()
	text, exprs := s.load(p.Addr().Is6())
	size := p.Addr().BitLen() / 8
	mask := make([]byte, size)
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	text += map[expr.CmpOp]string{expr.CmpOpEq: " ", expr.CmpOpNeq: " != "}[op] + p.String()
	return match{text, append(exprs,
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: mask, Xor: make([]byte, size)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Addr().AsSlice()},
	)}
}

// hashed is one of some equal shares of all addresses.
func (s side) hashed(six bool, share, of int) match {
	text, exprs := s.load(six)
	size := uint32(4)
	if six {
		size = 16
	}
	return match{fmt.Sprintf("jhash %s mod %d seed 0x1 == %d", text, of, share), append(exprs,
		&expr.Hash{SourceRegister: 1, DestRegister: 1, Length: size, Modulus: uint32(of), Seed: 1, Type: expr.HashTypeJenkins},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(uint32(share))},
	)}
}

// among is an address that one of the table's sets has.
func among(s side, of set) match {
	text, exprs := s.load(of.six)
	return match{text + " @" + of.name, append(exprs, &expr.Lookup{SourceRegister: 1, SetName: of.name})}
}

// ofFamily is a packet of IPv4, or of IPv6.
func ofFamily(six bool) match {
	if six {
		return match{"meta nfproto ipv6", family(unix.NFPROTO_IPV6)}
	}
	return match{"meta nfproto ipv4", family(unix.NFPROTO_IPV4)}
}

// unroutable is a packet whose sender would not be answered by the device that
// it came from.
func unroutable() match {
	return match{"fib saddr . iif oif missing", []expr.Any{
		&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true}, is(0),
	}}
}
