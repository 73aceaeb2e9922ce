// Package efi is the form of the programs that firmware starts: PE files with
// an Authenticode signature, and among them the one file that a release of the
// node's system is, a unified kernel image. It is the vocabulary that those who
// make releases (image/uki, qemu) share with the node that is given one
// (appliance/slots): whatever one side writes, the other reads and checks here.
//
// A unified kernel image is a small EFI program, the stub, with further
// sections: .osrel says which release it is, .cmdline, .initrd and .linux are
// what the stub hands to the kernel. The signature covers all of it.
//
// What is trusted: the certificate given to [Image.Verify], as it is. Neither
// chains nor dates are judged, as firmware does not judge them either. What is
// read is not trusted: sizes and offsets are checked before they are used,
// nothing is allocated by what a header says beyond fixed limits, and the
// contents, which may be larger than a node's free memory, are streamed.
//
// The reader is stricter than the format. It refuses what different firmware
// may hash differently: sections with gaps between them, data behind the
// signature, more than one signature or signer, other algorithms than RSA with
// SHA-256. All releases are made by image/uki and have none of these.
//
// The package computes and never opens a file.
//
// References: Microsoft, "PE Format" and "Windows Authenticode Portable
// Executable Signature Format" (2008); RFC 2315 (PKCS #7); UAPI group,
// "Unified Kernel Image" and "Boot Loader Specification".
package efi
