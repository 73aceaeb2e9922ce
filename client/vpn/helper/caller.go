package helper

import (
	"net"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A credential is who is at the other end of a socket, as the kernel noted when
// it connected.
type credential struct {
	uid  uint32
	gids []uint32
}

// allows reports whether a caller is answered.
func (c Config) allows(who credential) bool {
	return who.uid == 0 || slices.Contains(c.UIDs, who.uid) ||
		slices.ContainsFunc(who.gids, func(gid uint32) bool { return slices.Contains(c.GIDs, gid) })
}

// maxGroups is how many groups of a caller are looked at.
const maxGroups = 256

func caller(c *net.UnixConn) (credential, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return credential{uid: ^uint32(0)}, err
	}
	who := credential{uid: ^uint32(0)}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed != nil {
			return
		}
		who = credential{cred.Uid, append(groups(fd), cred.Gid)}
	}); err != nil {
		return who, err
	}
	return who, failed
}

// groups are the supplementary ones. Who has too many is in none.
func groups(fd uintptr) []uint32 {
	var all [maxGroups]uint32
	size := uint32(unsafe.Sizeof(all))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return slices.Clone(all[:size/4])
}
