package helper

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Confine takes from this process, all its threads and all that they start,
// every capability but CAP_NET_ADMIN, and the ways to get one back. It is called
// before anything is read. What root may do by owning files remains: the unit of
// systemd bounds it.
func Confine() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, keep [2]unix.CapUserData
	if err := unix.Capget(&head, &have[0]); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	if have[0].Permitted&(1<<unix.CAP_NET_ADMIN) == 0 {
		return errors.New("the VPN helper manages the network: it needs root (CAP_NET_ADMIN)")
	}
	for cap := uintptr(0); cap <= unix.CAP_LAST_CAP; cap++ {
		if cap == unix.CAP_NET_ADMIN {
			continue
		}
		_, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, cap, 0, 0, 0, 0)
		// EINVAL: the kernel does not know it. EPERM: systemd has taken the right to drop it, with the rest.
		if errno != 0 && errno != unix.EINVAL && errno != unix.EPERM {
			return fmt.Errorf("bounding capabilities: %w", errno)
		}
	}
	keep[0].Permitted = 1 << unix.CAP_NET_ADMIN
	keep[0].Effective = keep[0].Permitted
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&keep[0])), 0); errno != 0 {
		return fmt.Errorf("dropping capabilities: %w", errno)
	}
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("dropping privileges: %w", errno)
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
