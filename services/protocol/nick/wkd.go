package nick

import (
	"crypto/sha1"
	"encoding/base32"
	"net/url"
)

// WKDHash returns the name of a local part in a Web Key Directory: z-base-32
// of the SHA-1 of its lower-case form, 32 characters. It is computed on bytes,
// so leading zero bits are kept.
func WKDHash(local string) string {
	sum := sha1.Sum([]byte(mapLower(local)))
	return base32.NewEncoding("ybndrfg8ejkmcpqxot1uwisza345h769").EncodeToString(sum[:])
}

func mapLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = byte(lower(rune(c)))
	}
	return string(b)
}

// WKDPaths returns where the key of a is published, as host and path without
// the scheme (which is https): by the advanced method, to be tried first, and
// by the direct one (draft-koch-openpgp-webkey-service, 3.1).
func WKDPaths(a Address) (advanced, direct string) {
	d := a.Domain()
	name := "/hu/" + WKDHash(a.Local()) + "?l=" + url.QueryEscape(a.Local())
	return "openpgpkey." + d + "/.well-known/openpgpkey/" + d + name,
		d + "/.well-known/openpgpkey" + name
}
