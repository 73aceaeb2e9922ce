// Package kernel makes policies true on Linux, as root: it is the [policy.Path]
// behind the helper. It owns these things and touches nothing else:
//
//   - the nftables table inet leap_vpn, the kill switch. It is a plain table that
//     outlives every process; each change of it is one transaction;
//   - the link leap0, kernel WireGuard or, where the kernel has none, WireGuard
//     of this process on a TUN device;
//   - policy routing rules of priorities 5199 to 5202 and the routing table 51820;
//   - the machine's resolvers, while a tunnel is up: those of leap0 where
//     systemd-resolved runs, else /etc/resolv.conf;
//   - sockets of addresses that a tunnel had: they end with it, before the table
//     goes. Where the kernel cannot end them, the table inet leap_vpn_rest, which
//     refuses what they send and nothing else, stays while traffic is open;
//   - the settings arp_ignore and rp_filter, while the table is there.
//
// # No open moment
//
// What closes comes first, what opens comes last. Towards a tunnel the table is
// replaced before the link is touched: it names leap0 whether or not there is
// one, so that traffic has that way or none. Towards Open, routes, link and
// resolvers go before the table does. When a step after the table fails, the
// table that blocks is put in its place.
//
// Whoever deletes routes, addresses or the link, adds a faster network card, or
// hands out routes by DHCP moves traffic to where the table rejects it. Routes of
// the machine take part only for destinations in private networks and only with
// the LAN switch; public ones go by table 51820 whatever main says, so that
// routes pushed by a network do not even stop a connection.
//
// # What is outside the tunnel
//
// Sockets of this process carry a mark that only CAP_NET_ADMIN can set; the table
// lets them go to the addresses of Policy.Reach and the tunnel's endpoint, with
// any other socket rejected, and the rules keep them off the tunnel's route. There
// is no host route to the gateway: traffic of users to its address stays inside.
//
// # What is not held
//
// Root, and whoever holds CAP_NET_ADMIN or CAP_NET_RAW: raw packet sockets, as
// DHCP clients use, pass under every table of this family.
package kernel
