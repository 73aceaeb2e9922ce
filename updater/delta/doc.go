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
// those of the old one, and subtracts. A suffix array of the old file says in a few
// steps where the longest match is. A part is subtracted as one number, whose lowest
// byte comes first, in digits from -128 to 127: an address that has moved by 32 so
// gives one digit, 32, whether its lowest byte has overflowed or not. (Without that,
// a delta is 1.2 times as large.) Most digits are zero. What is kept is how many zeros
// come before each other one, apart from these: the two pack better by themselves
// (1.4 times).
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
//	  until all that is copied is covered:
//	    count    uvarint: of digits that are not zero, at most 16,384; if there are
//	             fewer, all digits after them are zero
//	    gaps     count times uvarint: how many zeros are before it
//	    digits   count bytes, two's complement
//	  the others as they are
//
// With digit d, byte o of the old file and carry c, which is 0 at the beginning of a
// record, the byte of the new one is d + o - c modulo 256, and the next c is 1 if that
// sum was below 0, -1 if it was above 255, else 0.
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
