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
//     "mesh" on the mesh's alone, from "tunnel" on that of a gateway's users;
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
// Nothing, where no service manages the network. Where one does, what its users
// send and get by the tunnel's device, but nothing from or to the mesh; and only
// as far as the gateway's own table lets it.
//
// # A gateway
//
// It makes a table of its own from its configuration, inet leap-gateway, by
// [ApplyGateway]: the ports at which users come in, what they reach, at which
// addresses the world sees them, and how much those with a limit may send and
// get ([AddLimited]). [GatewayText] shows it. The node's table holds whatever that
// one says: both must let a packet through. Listeners from "tunnel" are for users,
// at the gateway's addresses in the tunnel. Of those from "public" users reach the
// lease API alone, and not the agent.
//
// Users are told apart by their addresses, which WireGuard lets nobody else use.
// They reach neither each other, nor the mesh, nor networks that are not of the
// world. Ports for which there is no honest use of a tunnel are closed. To other
// name servers than the gateway's they get no answer: names would be asked for in
// clear beside it.
//
// Nobody begins more connections than 2048 at once and then 20 a second.
//
// Limits are policing: the kernel of nodes has no queue that shapes. A packet
// beyond the rate is dropped, and TCP finds its pace below it.
//
// # What goes out
//
// Everything but what the mesh's rule holds. That a service does not reach what
// it has no business with is the matter of appliance/launch and of the servers'
// own keys.
package firewall
