// Package caller says who is at the other end of a unix socket, by the kernel's word
// (SO_PEERCRED): whatever the modes of files are, and whatever is said.
package caller

import (
	"net"

	"golang.org/x/sys/unix"
)

// Nobody is the number of no user.
const Nobody = ^uint32(0)

// Of returns the user that the process at the other end ran as when it connected or,
// at our end of a connection that we have made, when it began to listen. It is Nobody
// with an error.
func Of(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Nobody, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return Nobody, err
	}
	return cred.Uid, nil
}
