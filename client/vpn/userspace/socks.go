package userspace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// RFC 1928.
const (
	socksVersion  = 5
	socksNoAuth   = 0
	socksNoMethod = 0xff
	socksConnect  = 1
	socksIPv4     = 1
	socksName     = 3
	socksIPv6     = 4

	socksFine        = 0
	socksFailed      = 1 // General failure.
	socksForbidden   = 2 // By the rule set: the VPN is not connected.
	socksBadCommand  = 7
	socksBadAddrType = 8
)

// errSyntax is a client that does not speak its protocol.
var errSyntax = errors.New("malformed request to the proxy")

// A socks is a client that speaks SOCKS5.
type socks struct {
	r *bufio.Reader
	w io.Writer
}

func (s *socks) request() (string, error) {
	// RFC 1928, 3: version, number of methods, methods.
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return "", err
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(s.r, methods); err != nil {
		return "", err
	}
	for _, m := range methods {
		if m == socksNoAuth {
			if _, err := s.w.Write([]byte{socksVersion, socksNoAuth}); err != nil {
				return "", err
			}
			return s.connect()
		}
	}
	_, err := s.w.Write([]byte{socksVersion, socksNoMethod})
	return "", errors.Join(errSyntax, err)
}

// connect reads the request itself. RFC 1928, 4.
func (s *socks) connect() (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return "", err
	}
	if head[0] != socksVersion {
		return "", s.refuse(socksFailed)
	}
	host, err := s.host(head[3])
	if err != nil {
		return "", err
	}
	var port [2]byte
	if _, err := io.ReadFull(s.r, port[:]); err != nil {
		return "", err
	}
	if head[1] != socksConnect {
		return "", s.refuse(socksBadCommand)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))), nil
}

func (s *socks) host(kind byte) (string, error) {
	n := 0
	switch kind {
	case socksIPv4:
		n = 4
	case socksIPv6:
		n = 16
	case socksName:
		length, err := s.r.ReadByte()
		if err != nil {
			return "", err
		}
		n = int(length)
	default:
		return "", s.refuse(socksBadAddrType)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return "", err
	}
	if a, ok := netip.AddrFromSlice(b); ok && kind != socksName {
		return a.Unmap().String(), nil
	}
	return string(b), nil
}

func (s *socks) refuse(code byte) error { return errors.Join(errSyntax, s.reply(code)) }

func (s *socks) answer(err error) error {
	switch {
	case err == nil:
		return s.reply(socksFine)
	case errors.Is(err, errBlocked):
		return s.reply(socksForbidden)
	}
	return s.reply(socksFailed)
}

// reply is RFC 1928, 6; the address at which the tunnel ends is nobody's
// business.
func (s *socks) reply(code byte) error {
	_, err := s.w.Write([]byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}
