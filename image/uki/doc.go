// Package uki makes a release of the node's system: one EFI file, a unified
// kernel image, out of a kernel, its command line and a file system in memory
// that holds one program, leapd.
//
// The same inputs give the same bytes, wherever and whenever: nothing of the
// building machine gets in, no time, no path, no user. Who doubts a release
// builds it again and compares; a signature is only added behind (see
// [efi.Strip] for taking it off). The inputs are pinned:
//
//   - leapd by the source and the Go toolchain, with which it is built without
//     cgo, paths and version control;
//   - the kernel by go.mod and go.sum, which is why it is a module
//     (github.com/gokrazy/kernel.amd64) and imported, though it is no code;
//   - stub and boot loader, from Debian's package systemd-boot-efi, by their
//     digests in this package.
//
// The file system (an initramfs in the cpio format "newc") is not compressed:
// a small change of the source is then a small change of the release, and what
// is transported is compressed as a whole anyway. It has no shell, no package
// manager, nothing setuid: /leapd is the only executable, and /init and
// /user/<service> are names of it.
//
// Signing is optional. The certificate of those who sign is put into the image
// whether the key is there or not, because the node checks the next release
// with it, and because whoever builds the unsigned image again must get the
// same.
//
// Not in it: kernel modules, microcode, time zones (leapd computes in UTC) and,
// unless one is given, CA certificates.
package uki
