package couch

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

// Ids of documents are made of [A-Za-z0-9_.:-] and do not begin with "_": all
// implementations agree on those (database.md section 12).

// maxID is the limit of an id that is taken as it is, bytes.
const maxID = 200

// safeID reports whether s can be an id.
func safeID(s string) bool {
	return s != "" && len(s) <= maxID && s[0] != '_' && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) && r != ':' })
}

// plainName reports whether s can be a part of an id, next to a colon.
func plainName(s string) bool {
	return s != "" && len(s) <= maxID/2 && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) })
}

func plain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '.' || r == '-'
}

// addressID returns the id of an address: ":" stands for "@". Addresses that
// have no id have no identity either.
func addressID(a nick.Address) (string, bool) {
	id := strings.ReplaceAll(string(a), "@", ":")
	return id, safeID(id) && strings.Count(id, ":") == 1
}

// docPrefix begins the ids of U1DB documents, so that they may begin with
// anything.
const docPrefix = "d:"

// docID returns the id under which a U1DB document is stored: ":" stands for
// "%".
func docID(id string) (string, error) {
	if !u1db.ValidDocID(id) {
		return "", problem.Invalid.Errorf("invalid document id")
	}
	return docPrefix + strings.ReplaceAll(id, "%", ":"), nil
}

// u1dbID is the inverse of docID.
func u1dbID(id string) string {
	return strings.ReplaceAll(strings.TrimPrefix(id, docPrefix), ":", "%")
}

// hashID returns the id of what is known by a secret: the database keeps no
// more than its hash.
func hashID(secret string) string {
	sum := sha512.Sum512([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// userDB returns the name of a user's database.
func userDB(userID string) (string, error) {
	if len(userID) == 0 || len(userID) > 64 || strings.Trim(userID, "0123456789abcdef") != "" {
		return "", problem.NotExist.Errorf("no such user database")
	}
	return userDBPrefix + userID, nil
}

const userDBPrefix = "user-"
