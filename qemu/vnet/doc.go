// Package vnet is the lab's LAN: one Ethernet segment that lives in a process.
//
// Machines plug in with QEMU's "-netdev stream": one unix socket for each port,
// on which the [LAN] listens first. The process itself plugs in with a [Host],
// an IP stack in user space, so that a test or an operator's command is a member
// of the LAN without root, tap or bridge. A [Forward] lets another process of
// this machine reach one address of it. Addresses, names and time on the LAN come
// from [Host.ServeDHCP], [Host.ServeDNS] and [Host.ServeNTP].
//
//	machine --unix socket-- Port \            / Port -- Host: dial, listen, DNS, NTP
//	machine --unix socket-- Port -- switch --
//	machine --unix socket-- Port /            \ every frame -- pcap
//
// Each port is a cable with a delay, a loss and a plug ([Port.SetLink]), and any
// two ports can be cut off from each other ([LAN.Cut]). A port that does not read
// loses frames, and disturbs nobody else.
//
// Nothing leaves: the LAN has no gateway to a real network, and forwards listen
// on loopback and unix sockets only. What comes from machines is not trusted: a
// frame is at most [MaxFrame] long, the address table and all queues are
// bounded.
package vnet
