// Package netcfg makes the network of a node what its document says: cards up,
// their MTU, addresses, routes and router advertisements, DHCP leases, the list
// of name servers and the file of hosts.
//
// # How
//
// [Net.Apply] reads what the kernel and the files say, compares it with what is
// wanted, and does only what differs: applying the same twice changes nothing.
// It then reads again, and what still differs is an error. The [Plan] it returns
// is the list of what it did, one line each.
//
// What is done has one order, made so that an operator who comes in over the
// very network that changes is not cut off without need: settings, cards up, new
// addresses, new routes; only then old routes, old addresses, cards down. A
// default route is replaced in one step. An IPv6 address whose length of prefix
// changes cannot be there twice and is taken away and put back at once.
//
// # What it owns
//
// All Ethernet cards of the machine. One that the document does not name is
// emptied and taken down. On a card it owns every address but the link-local
// ones, and in the main table every route but those that the kernel makes. It
// sets loopback up, and leaves alone WireGuard devices and all that is no card.
//
// Routes of the document's first card have the metric 100, of the second 101,
// and so on: the first is the first choice.
//
// # IPv6 router advertisements
//
// The kernel itself obeys them where a card has Router set, and is told to
// ignore them, and to forget what it learnt, where not. Name servers in them are
// not used: a node without DHCP names its own.
//
// # DHCP
//
// [Net.Run] keeps a lease for each card with DHCP set, in memory, and renews it
// in time. A leased address is given to the kernel with the time that is left,
// so that it goes by itself if nobody renews it. After a restart of the agent,
// leased addresses stay until the server has answered: the node is not cut off.
// A server that cannot be found is asked for ever, at intervals that grow to a
// minute, and [Net.Trouble] says so meanwhile. Where a server names routes
// (option 121), its router option is ignored (RFC 3442). A lease is renewed once a
// day at least, however long the server grants it.
//
// Who answers DHCP or sends router advertisements is trusted with this network's
// addresses and routes, no further: nodes prove themselves to each other and to
// operators by keys.
package netcfg
