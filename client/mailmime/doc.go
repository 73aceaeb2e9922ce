// Package mailmime reads and writes messages as bytes: header fields (RFC
// 5322), parts (RFC 2045-2049), transfer encodings and charsets.
//
// It never loses a byte: fields and parts are slices of the message, a field
// that is not touched is written as it came, and a signed part can be verified
// where it lies. It never fails: what is malformed is kept and treated as text
// or as an opaque leaf, because a mailbox must show what arrived. And it has
// limits that no message exceeds in good faith, so that one message cannot
// exhaust the client: depth, number of parts, number of fields.
//
// The sub-packages are the formats on top of it: hp (RFC 9788 header
// protection), pgpmime (RFC 3156) and autocrypt (Autocrypt level 1).
package mailmime
