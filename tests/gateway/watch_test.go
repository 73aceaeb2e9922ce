package gateway

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// A packet is what somebody on the cable sees of one.
type packet struct {
	from, to netip.Addr
	protocol byte
	ports    [2]uint16 // The sender's, and the other's.
}

// packets are those of IPv4 and IPv6 in a capture, but for ICMP.
func packets(capture []byte) (all []packet) {
	for b := capture[min(24, len(capture)):]; len(b) >= 16; {
		size := int(binary.LittleEndian.Uint32(b[8:]))
		frame := b[16:min(16+size, len(b))]
		b = b[16+len(frame):]
		if len(frame) < 14 {
			continue
		}
		var p packet
		rest := frame[14:]
		switch kind := binary.BigEndian.Uint16(frame[12:]); {
		case kind == 0x0800 && len(rest) >= 20:
			p.from, p.to = netip.AddrFrom4([4]byte(rest[12:])), netip.AddrFrom4([4]byte(rest[16:]))
			p.protocol, rest = rest[9], rest[min(int(rest[0]&15)*4, len(rest)):]
		case kind == 0x86dd && len(rest) >= 40:
			p.from, p.to = netip.AddrFrom16([16]byte(rest[8:])), netip.AddrFrom16([16]byte(rest[24:]))
			p.protocol, rest = rest[6], rest[40:]
		default:
			continue
		}
		if (p.protocol == 6 || p.protocol == 17) && len(rest) >= 4 {
			p.ports = [2]uint16{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])}
			all = append(all, p)
		}
	}
	return all
}

// watch is what the cable says of all that was done.
func (w *world) watch(t *testing.T) {
	t.Helper()
	var capture bytes.Buffer
	check(t, w.LAN().WritePcap(&capture))
	inTunnel := []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16"), netip.MustParsePrefix("fd00:64::/64")}
	ports := []uint16{443, 1194, 51821, 53, 80}
	users, worlds, said := 0, 0, 0
	for _, p := range packets(capture.Bytes()) {
		for _, side := range []struct {
			a, b netip.Addr
			port uint16 // Of b.
		}{{p.from, p.to, p.ports[1]}, {p.to, p.from, p.ports[0]}} {
			switch side.a {
			case own, own6:
				users++
				if !slices.Contains([]netip.Addr{entry, entry6}, side.b) || !slices.Contains(ports, side.port) {
					t.Errorf("the user and %v, port %d: %+v", side.b, side.port, p)
				}
			case place, place6:
				worlds++
				if !slices.Contains([]netip.Addr{egress, egress6}, side.b) {
					t.Errorf("the world and %v: %+v", side.b, p)
				}
			}
			if slices.ContainsFunc(inTunnel, func(n netip.Prefix) bool { return n.Contains(side.a) }) {
				t.Errorf("an address of the tunnel is outside: %+v", p)
			}
		}
	}
	said = bytes.Count(capture.Bytes(), []byte(inside))
	t.Logf("           the cable saw %d packets of the user and %d of the world, which said %d things", users, worlds, said)
	if users == 0 || worlds == 0 || said == 0 {
		t.Error("nothing was watched")
	}
}
