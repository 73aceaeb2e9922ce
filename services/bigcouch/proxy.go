package bigcouch

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
)

// proxied returns the user that a proxy vouches for. A proxy that does not know
// the secret is not believed, and the request goes on as if it had said
// nothing. The token covers the name alone, so roles of the server itself,
// which begin with "_", are not a proxy's to give.
func (c *call) proxied() (user, bool) {
	name := c.r.Header.Get("X-Auth-CouchDB-UserName")
	if c.auth.proxy == nil || name == "" {
		return user{}, false
	}
	token, err := hex.DecodeString(c.r.Header.Get("X-Auth-CouchDB-Token"))
	if err != nil {
		return user{}, false
	}
	known := false
	for _, f := range []func() hash.Hash{sha256.New, sha1.New} { // CouchDB's, in its order.
		mac := hmac.New(f, c.auth.proxy)
		mac.Write([]byte(name))
		known = hmac.Equal(mac.Sum(nil), token) || known
	}
	if !known {
		return user{}, false
	}
	u := user{Name: name, handler: "proxy"}
	for role := range strings.SplitSeq(c.r.Header.Get("X-Auth-CouchDB-Roles"), ",") {
		if role = strings.TrimSpace(role); role != "" && !systemRole(role) && !slices.Contains(u.Roles, role) {
			u.Roles = append(u.Roles, role)
		}
	}
	return u, true
}
