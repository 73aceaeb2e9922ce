// Package userspace is a policy.Path without privileges: WireGuard and a TCP/IP
// stack in this process. The computer's own traffic is not touched; what is to
// go through the tunnel enters by a proxy on loopback, which speaks SOCKS5
// (RFC 1928, CONNECT) and HTTP CONNECT on one port. Names are resolved through
// the tunnel, by the resolvers of the lease.
//
// So it guards less than the kernel's path: a program that does not use the
// proxy goes out as ever. What does use it goes through the tunnel or nowhere:
// in every mode but Tunnel the proxy refuses, also in Open, because a program
// that was told to use the VPN must not go out beside it. Other users of this
// computer can use the proxy too, as they can use any port on loopback.
//
// Policy.LAN, Portal and Exclude mean nothing here.
package userspace
