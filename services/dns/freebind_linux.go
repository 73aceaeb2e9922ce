package dns

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a listener be opened at an address that the node does not have
// yet: that of a tunnel whose link comes later, or an IPv6 address that is still
// being checked for duplicates. Nothing has to be tried again, and there is no
// order in which services start.
func freebind(network, _ string, c syscall.RawConn) error {
	level, option := unix.IPPROTO_IP, unix.IP_FREEBIND
	if strings.HasSuffix(network, "6") {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	if outer := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); outer != nil {
		return outer
	}
	return err
}
