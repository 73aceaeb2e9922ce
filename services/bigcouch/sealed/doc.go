// Package sealed is a file system for Pebble that encrypts what it writes: a
// wrapper of vfs.FS under the whole store, so tables, write-ahead log,
// manifest, options and markers alike, keys as well as values.
//
// # A file
//
// A file begins with 64 bytes and goes on with the text, encrypted by AES-256
// in counter mode by offset, so that it can be read anywhere:
//
//	"LEAPSEA" 1     magic, version
//	8 bytes         id of the node key
//	24 bytes        salt, random for each file
//	16 bytes        HMAC-SHA256 of the above, cut
//	8 bytes         SHA-256 of the above, cut
//
// Key and first counter of a file, and the key of its HMAC, are derived from
// node key and salt by HKDF-SHA256. No two files share a keystream, since none
// shares a salt; within a file no place is written twice, since files are only
// appended to: WriteAt and OpenReadWrite are refused, and ReuseForWrite, by
// which Pebble recycles its log, makes a new file. Links and renames keep the
// header with its text.
//
// The header is on disk before the first byte of the text is written. Hence a
// file that is no longer than a header is an empty one, whatever a crash has
// left in it, and a longer one whose header cannot be read is damaged.
//
// # What it promises, and what not
//
// Who has the disk without a node key learns the number, sizes, names and
// times of files. A flipped bit in the text becomes a flipped bit in what
// Pebble reads, whose checksums find it; one in a header is found here.
// A deliberate change is not authenticated: who can write to the disk can cut
// files, put back old ones, and, where he knows the text, change it together
// with its checksum. A file that is not sealed is never read as if it were:
// without its key, or in the clear, the store does not open.
package sealed
