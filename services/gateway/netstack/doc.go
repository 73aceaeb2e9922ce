// Package netstack is the gateway's data plane where there is no root and no
// kernel WireGuard: on a developer's machine and in tests. wireguard-go takes
// the datagrams, gvisor's TCP/IP stack ends the clients' connections, and each
// is made anew from an address of the machine.
//
//	datagrams -- bind -- wireguard-go -- filter -- IP stack -- forwarder, meter -- net.Dial
//
// What a client sends has its own address in the tunnel, or wireguard-go drops
// it. The filter lets through what is for the gateway itself (ICMP, names) and
// for public addresses, so that clients meet neither each other nor what is
// private to the machine; the meter holds limited clients to their rate. What the
// machine itself offers at a public address they reach as the world does: it is
// the rules of a node that let its users reach names and leases alone.
// Names are asked for at the gateway's own address alone, which hands them to
// the configured resolver.
//
// It carries TCP and UDP; ICMP ends at the gateway. It is slower than the kernel
// and remembers as little: flows are in memory, end when they are silent, and
// are bounded. It logs nothing of what it carries, and wireguard-go, which would
// name peers and their addresses, logs nothing at all.
package netstack
