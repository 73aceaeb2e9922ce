// Package slots keeps the releases on a node's ESP: it writes a new one beside
// the one that runs, lets the boot loader try it, makes it good or gives it up.
//
// # Names are states
//
// A release is one file below /EFI/Linux, and its name says what it is, in the
// way of the boot loader (Boot Loader Specification, "Boot counting"):
//
//	leap_1.4.0.efi      good
//	leap_1.4.0+3.efi    new: three tries are left
//	leap_1.4.0+2-1.efi  on trial: one start is done, two are left
//	leap_1.4.0+0-3.efi  bad: it is started only if there is nothing else
//
// The boot loader counts down before it starts a release on trial, prefers good
// and new ones to bad ones, and newer ones to older ones. The node renames:
// [Slots.Bless] takes the counter away, [Slots.Condemn] sets it to zero. Whether
// the release that runs is on trial, the boot loader tells by a variable of the
// firmware ([ReadLoader]).
//
// Beside the ESP, on the writable partition, is kept why a release was given up:
// its file goes, and the same one is not taken again unless that is asked for.
//
// # What a power cut does
//
// FAT has no journal. So the file that is written has another name and lies in
// another directory until it is whole, was read back and is what it should be;
// a rename never touches the last good release; and an old release is removed
// only in a later call than the one that made another one good. Whatever is cut
// off, one of the two starts.
//
// # What is checked
//
// A release that the firmware refuses to load ends at the firmware's prompt:
// counting covers only what starts. Hence everything that the firmware will
// check is checked before the rename: size, SHA-256, form, version, and the
// signature if the node has a certificate.
//
// The ESP is mounted only while a call lasts ([ESP]).
package slots
