// Package compile turns a provider instance into one node document for each
// node. It is pure: the same instance and the same secrets make the same
// documents, byte for byte. It reads no clock, disk or network.
//
// What leap_cli's macros computed is known here: who the database nodes are,
// which accounts they have and where a shard lies; which hosts have which names;
// what users' clients are told; which files and secrets a service needs and at
// which ports it listens. "leapd dev" wires the same services for one machine
// (appliance/dev); accounts and roles are the same.
//
// Services listen to each other only in the mesh: the database, its peers, and
// the resolver. What users and other providers talk to is public.
//
// # What operators may set
//
// Each service's section in the instance has the type of the service's own
// configuration. What follows from the instance is not for operators: a member
// that they set and that is made here is an error. A member that ends in "_file"
// names a file below files/, which goes to the node with the document.
package compile
