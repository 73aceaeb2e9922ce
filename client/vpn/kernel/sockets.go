package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// abortTries is how often sockets are looked for again: one may be made while
// the others are destroyed.
const abortTries = 3

// tcpTimeWait is TCP_TIME_WAIT of Linux: such a socket sends nothing by itself.
const tcpTimeWait = 6

// abort destroys the TCP and UDP sockets whose own address is one of gone: Linux
// lets a socket keep an address that the machine has no more, and its packets of
// IPv6 then leave by whatever link there is. It returns those addresses of which
// sockets may be left, because the kernel cannot destroy any
// (CONFIG_INET_DIAG_DESTROY), and why.
func abort(gone []netip.Addr) (left []netip.Addr, err error) {
	if len(gone) == 0 {
		return nil, nil
	}
	for range abortTries {
		all, err := sockets(gone)
		if err != nil {
			return gone, err
		}
		if len(all) == 0 {
			return nil, nil
		}
		for _, s := range all {
			if err := s.destroy(); errors.Is(err, unix.EOPNOTSUPP) {
				return gone, fmt.Errorf("destroying sockets: %w", err)
			}
		}
	}
	all, err := sockets(gone)
	if err != nil {
		return gone, err
	}
	for _, s := range all {
		if a := s.own(); !slices.Contains(left, a) {
			left = append(left, a)
		}
	}
	if len(left) > 0 {
		err = errors.New("sockets cannot be destroyed")
	}
	return left, err
}

// A socket is one that the kernel has listed.
type socket struct {
	*netlink.Socket
	proto uint8
}

// own is the socket's own address.
func (s socket) own() netip.Addr {
	a, _ := netip.AddrFromSlice(s.ID.Source)
	return a.Unmap() // A socket of IPv6 may speak IPv4.
}

// sockets lists those of the addresses.
func sockets(of []netip.Addr) (all []socket, err error) {
	lists := map[uint8]func(uint8) ([]*netlink.Socket, error){
		unix.IPPROTO_TCP: netlink.SocketDiagTCP, unix.IPPROTO_UDP: netlink.SocketDiagUDP,
	}
	for proto, list := range lists {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			some, err := dump(func() ([]*netlink.Socket, error) { return list(family) })
			if err != nil {
				return nil, fmt.Errorf("listing sockets: %w", err)
			}
			for _, one := range some {
				s := socket{one, proto}
				if slices.Contains(of, s.own()) && (proto != unix.IPPROTO_TCP || s.State != tcpTimeWait) {
					all = append(all, s)
				}
			}
		}
	}
	return all, nil
}

// destroy ends the socket: whoever has it reads ECONNABORTED.
func (s socket) destroy() error {
	q := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	q.AddData(s)
	_, err := q.Execute(unix.NETLINK_INET_DIAG, 0)
	return err
}

// Len and Serialize are struct inet_diag_req_v2 of linux/inet_diag.h.
func (s socket) Len() int { return 56 }

func (s socket) Serialize() []byte {
	b := []byte{s.Family, s.proto, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, ^uint32(0)) // In any state.
	b = binary.BigEndian.AppendUint16(b, s.ID.SourcePort)
	b = binary.BigEndian.AppendUint16(b, s.ID.DestinationPort)
	for _, ip := range [][]byte{s.ID.Source, s.ID.Destination} {
		var field [16]byte
		a, _ := netip.AddrFromSlice(ip)
		if s.Family == unix.AF_INET {
			a = a.Unmap()
		}
		copy(field[:], a.AsSlice())
		b = append(b, field[:]...)
	}
	for _, n := range []uint32{s.ID.Interface, s.ID.Cookie[0], s.ID.Cookie[1]} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

// maxHad is how many addresses of tunnels are remembered.
const maxHad = 256

// had returns the addresses that tunnels have had since traffic was open last,
// of processes before this one too. A file that is damaged names none.
func (s settings) had() (all []netip.Addr) {
	text, err := s.read(hadFile)
	if err != nil {
		return nil
	}
	for line := range strings.FieldsSeq(string(text)) {
		if a, err := netip.ParseAddr(line); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// remember writes what had returns, the last of them.
func (s settings) remember(all []netip.Addr) error {
	var b strings.Builder
	for _, a := range all[max(0, len(all)-maxHad):] {
		b.WriteString(a.String() + "\n")
	}
	return s.write(hadFile, b.String())
}
