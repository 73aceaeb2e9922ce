// Package gpt is the partition table of a node's disk: what is written when an
// image is made (image/disk), grown when the image lies on a larger disk, and
// read by the node to find its parts (appliance/volume).
//
// Every node's disk has the same four partitions with the same identities,
// those of [Layout]: the EFI system partition with the releases, two small
// reserved ones, and perm, the writable rest. The identities are constants
// because the signed command line of the kernel, which is the same for every
// node, names them; so a machine must not have two disks of nodes.
//
// A table stands twice on a disk, at its beginning and at its end. [Table.Write]
// writes the second copy first and waits until it is durable, so that a whole
// one is there after a power cut at any moment, and [Read] takes whichever is
// whole, the first before the second. A disk that grew has its second copy in
// its middle and none at its end; [Table.Grow] and Write put that right.
//
// What is read is not trusted: only tables of the shape that is written here
// (and by common tools) are taken, their sums and bounds are checked.
// Only disks with sectors of 512 bytes are known.
//
// Reference: UEFI specification 2.10, chapter 5.
package gpt
