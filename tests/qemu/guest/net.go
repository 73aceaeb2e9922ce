package main

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// address gives an interface an address of IPv4 or IPv6 and brings it up, with
// the ioctls of ifconfig: netlink would need a library.
func address(name string, p netip.Prefix) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if p.Addr().Is4() {
		if err := r.SetInet4Addr(p.Addr().AsSlice()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, r); err != nil {
			return fmt.Errorf("address of %s: %w", name, err)
		}
		mask := ^uint32(0) << (32 - p.Bits())
		if err := r.SetInet4Addr([]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, r); err != nil {
			return fmt.Errorf("mask of %s: %w", name, err)
		}
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("flags of %s: %w", name, err)
	}
	if p.Addr().Is4() {
		return nil
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return fmt.Errorf("index of %s: %w", name, err)
	}
	return address6(r.Uint32(), p)
}

// address6 adds an address to the interface with an index.
func address6(index uint32, p netip.Prefix) (err error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	r := struct { // in6_ifreq of linux/ipv6.h
		addr  [16]byte
		bits  uint32
		index uint32
	}{p.Addr().As16(), uint32(p.Bits()), index}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("address %v: %w", p, errno)
	}
	return nil
}
