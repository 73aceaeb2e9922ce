// Package local is a cluster that goes on after the command that started it: one
// process serves it on a unix socket, and commands of the same user ask that.
//
//	leap local start --starts--> leap local run: Serve -- cluster -- machines
//	leap deploy ------ Client.Dial -------/
//
// The socket lies in a directory of its own that only the user can enter; the
// file lab.json in the directory of the cluster says where. It speaks HTTP: how
// the machines are, switching them on and off, and CONNECT, which makes the
// connection one to an address on the LAN, by which commands reach nodes that no
// route of this machine leads to.
//
// Only one process serves a directory at a time.
package local
