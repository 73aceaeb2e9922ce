// Package helper puts the one privileged process of the client behind a unix
// socket. [Server] runs in it, as root with CAP_NET_ADMIN as its only capability,
// and has a [policy.Path] do what callers ask; [Client] is a policy.Path too, in
// the user's process, that asks.
//
// # The socket
//
// One connection is one question. It is of the kind that keeps messages whole
// (SOCK_SEQPACKET): the caller sends one JSON object, a [request], and gets one
// back, with a connected socket beside it (SCM_RIGHTS) if it asked for one.
// Commands are typed and few; there are no options by name, no paths, no
// programs. Members that are not known are refused: a caller that is newer than
// the helper learns so instead of being half obeyed.
//
// The kernel says who calls (SO_PEERCRED): root and the users of [Config] are
// answered. All others are hung up on, whatever the mode of the socket's file is.
//
// A caller that goes away changes nothing: the policy applied last holds until
// another one is applied, and its kill switch also when the helper is gone. Who
// may ask may ask for Open: the helper keeps traffic from leaving by accident,
// it does not guard the user from himself.
//
// # The start of the machine
//
// [Units] are systemd's files for it: one oneshot before the network blocks all
// if the file [BootFile] is there, which the command "boot" makes and removes;
// the other runs the helper.
package helper
