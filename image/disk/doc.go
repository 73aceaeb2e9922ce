// Package disk writes what a machine is started from: the disk image of a
// release, the same for every node, and the small identity disk, which tells
// one node who it is.
//
// A disk image has the layout of [gpt.Layout]. Its EFI system partition holds
// the boot loader where firmware looks for it without being told
// (/EFI/BOOT/BOOTX64.EFI), the loader's configuration, and one release in
// /EFI/Linux. The other partitions are blank: the node formats perm when it
// first starts, because a file system has an identity and times, and would not
// be the same in each copy. The image is a function of release and boot loader:
// the FAT file system has no times, and its number is a constant. It is written
// by this package and not by a library: it is written once, in one piece,
// without a file ever changing, which is a table and a few directories.
//
// [Flash] copies an image to a device or another file. It grows perm to what
// the disk has, reads back all that it wrote, and refuses a device of which
// any part is in use. It does not ask; that is its caller's business.
//
// What flashing does not write is the inside of perm, but for its first MiB,
// whose zeros tell the node that perm is blank. What was on the disk there
// before stays until the node writes over it.
package disk
