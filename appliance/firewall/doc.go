// Package firewall lets through what a node's document names, and nothing else.
// It is one nftables table, inet leap, that [Apply] replaces in one transaction:
// there is no moment without rules, and none with half of them. [Text] shows the
// same rules as nft would.
//
// # What comes in
//
//   - loopback, and answers to what went out;
//   - the agent's port, on every device;
//   - the port of the mesh, on every device but the mesh's own;
//   - listeners from "public" on every device but the mesh's, listeners from
//     "mesh" on the mesh's alone;
//   - ICMP that networks need: errors, neighbour discovery that comes from the
//     link itself (hop limit 255, RFC 4861, 6.1 and 7.1), router advertisements
//     where a card believes them, questions for multicast listeners, and 20
//     echo requests a second.
//
// DHCP needs no rule: its client reads packets before the firewall does.
//
// # The mesh
//
// Services speak in clear over the mesh, because it encrypts. So packets from
// the mesh's addresses come in by its device only, and packets to them leave by
// it only: where the device is missing, a connection fails instead of running in
// clear over the default route.
//
// # What goes through
//
// Nothing, where no service manages the network. A gateway, which does, forwards
// by a table of its own; here is only held that nothing is forwarded from or to
// the mesh.
//
// # What goes out
//
// Everything but what the mesh's rule holds. That a service does not reach what
// it has no business with is the matter of appliance/launch and of the servers'
// own keys.
package firewall
