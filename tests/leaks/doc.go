// Package leaks proves that nothing leaves a computer outside its tunnel. Its
// tests make an internet of network namespaces, run the real "leapc vpn-helper"
// in one of them, break things, send traffic all the while, and count what an
// observer on the computer's cable sees that is neither the tunnel nor needed to
// have a network at all.
//
//	client                the internet, observer           gateway
//	  eth0 -------------- cli0 |  gw0 -------------------- eth0, wg0, wg1
//	  eth1 -------------- cli1 |  srv0 ------------------- eth0  server
//	  ctr0 -------------- eth0 of a container
//
// Each group of vpn.md section 8 runs twice: as it is, which must leak nothing,
// and as a control with a firewall that lets everything pass and with the routes
// that a client has which trusts routes alone, which must leak. A group whose control is silent
// proves nothing and fails. One line is printed for each:
//
//	leaks: NAME: leaked 0 (control leaked N)
//
// The tests need root, or a kernel that lets others make namespaces; elsewhere
// they skip, and say so.
package leaks
