// Package volume is the writable part of a node's disk, perm, and the identity
// that is kept there: find, format once, check, mount. The boot partition, which
// holds releases (appliance/slots), is mounted only while somebody uses it.
//
// # Never lose what is there
//
// perm is formatted only when nothing can be on it: its first MiB holds nothing
// but zeros, as the image leaves it, or the mark that says that formatting was
// under way, which is written first and removed last. Everything else that does
// not mount is an error ([ErrForeign], [ErrDamaged]) for an operator, who can
// write the image anew; a failed mount never leads to formatting.
//
// # Identity
//
// A fresh node learns who it is from a small disk (appliance/node), and keeps
// it on perm. From then on it ignores other identities, except one that its
// provider signed and that says to reinstall: then perm is formatted anew. A perm
// that is damaged is given up for any identity that says so, since the provider's key
// was on it: whoever attaches disks to the machine can as well exchange its own.
// Whoever attaches a disk to a fresh machine owns it.
//
// Nothing on perm can be executed, and no devices or set-user-id files work
// there. The disk is known by its partition table (appliance/gpt); a machine
// with two such disks is refused, since nothing tells which one it started from.
package volume
