package helper

import (
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// nobody is the number of no user.
const nobody = ^uint32(0)

// allows reports whether a user is answered.
func (c Config) allows(uid uint32) bool { return uid == 0 || slices.Contains(c.UIDs, uid) }

// caller is the user at the other end of a socket, as the kernel noted when it
// connected.
func caller(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nobody, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return nobody, err
	}
	return cred.Uid, nil
}
