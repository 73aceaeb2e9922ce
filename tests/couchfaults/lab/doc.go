// Package lab runs database nodes as processes of their own, on loopback, with
// a network between them that can be cut, stalled and slowed one direction at
// a time.
//
// Each node reaches each other one through a proxy of the lab: the node's
// configuration gives the proxies' addresses as those of its peers. So a
// partition of any shape needs no rights. The lab signals only processes that
// it started, by their handles, and they die with it.
package lab
