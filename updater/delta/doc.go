// Package delta makes what travels in the place of a release: the difference to
// one that a machine has, or the release packed.
//
//	Build, Apply    the difference between two files, and back (.bsz)
//	Pack, Unpack    one file, and back (.zst)
//
// # How a difference is found
//
// As bsdiff does (Colin Percival, "Naive differences of executable code", 2003): a
// change of the source moves code, and so changes the addresses in all other code
// by the same few amounts. Build looks for parts of the new file that are nearly
// those of the old one, subtracts, and packs the result, most of which is zero. A
// suffix array of the old file says in a few steps where the longest match is.
// Programs must not be packed inside the file: one changed byte changes all that
// follows.
//
// # The format .bsz
//
//	magic      8 bytes, "LEAPBSZ1"
//	old        SHA-256, and length as 8 bytes, little-endian
//	new        SHA-256, and length
//	a frame of zstd, RFC 8878, with a window of at most 8 MiB, of records:
//	  seek     varint: from the end of the last copy to the place in the old file
//	  copy     uvarint: how many bytes are made from the old file
//	  extra    uvarint: how many are new
//	           the differences of the first, byte by byte, modulo 256
//	           the others as they are
//
// The records make the new file from the front to the back, and each makes at
// least one byte. Nothing follows them, and nothing follows the frame.
//
// # What it costs
//
// Apply holds two small buffers and the window, whatever the files measure: it
// reads the old file where it is told to, and writes the new one once, in order.
// It trusts nothing of what it reads: no record leads outside the old file or
// beyond the length of the new one, so the work is bounded by the length that its
// caller demands. Build is for the vendor's machine: it holds both files, and
// about six bytes for each byte of the old one, and takes files up to [MaxFile].
//
// Build and Pack give the same bytes for the same input, on every machine, as long
// as this package and the version of github.com/klauspost/compress are the same:
// whoever signs a difference can make it himself and compare.
package delta
