// Package vpn measures the VPN beside Debian's OpenVPN 2.6 and beside a bare
// cable: real programs in network namespaces that it makes, each figure of all of
// them in one run and by turns, since other users of a machine then hit all
// alike. The ratios are what to trust.
//
//	client 1, 2, ... --- veth, or TUNs with a delay --- the gateways --- veth --- server
//
// The clients are "leapc vpn-helper", whose WireGuard is wireguard-go on a TUN
// where the kernel has none, in a namespace each. They rent at services/gateway,
// which runs over two data planes:
//
//   - "gateway" is the one that leapd has where there is no root: package netstack
//     ends users' TCP connections and makes them anew.
//   - "tunnel" is wireguard-go on a TUN, and the kernel forwards: what a tunnel in
//     user space at both ends can carry, as OpenVPN is. Nodes have the kernel's
//     WireGuard, which is measured where nodes are.
//
// OpenVPN runs as its manual has it: UDP, AES-256-GCM, certificates, no data
// channel in the kernel.
//
// Load is one TCP connection from a client to the server or back, and counts
// where it arrives. Processor time is that of the two processes of a tunnel, the
// kernel's on their behalf included.
//
// The scenes are benchmarks that run once each (-benchtime 1x) and report figures
// instead of times. "make bench-vpn" runs them and records what they say; "go
// test" runs them with hardly any work, so that they stay runnable. They need
// root, or a kernel that lets others make namespaces; without the program openvpn
// its figures are not measured.
package vpn
