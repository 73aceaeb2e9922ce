package soledad

import (
	"strings"

	"leap.example/services/protocol/u1db"
)

// A resource is what a path names. The text is for the log.
type resource string

const (
	none       resource = ""
	root       resource = "root"
	robots     resource = "robots"
	sharedDB   resource = "shared"
	sharedDoc  resource = "shared document"
	syncFrom   resource = "sync"
	keyringDoc resource = "keyring"
	notify     resource = "notify"
	queue      resource = "queue"
	queueEntry resource = "queue entry"
	blobList   resource = "blobs"
	blob       resource = "blob"
	blobStream resource = "blob stream"
)

// A target is a parsed path.
type target struct {
	resource resource
	user     string // Whose it is; empty: anybody's who is logged in.
	name     string // Of the replica, document, entry or blob.
}

// parsePath parses an unescaped URL path. What no rule allows is none.
func parsePath(path string) target {
	switch path {
	case "/":
		return target{resource: root}
	case "/robots.txt":
		return target{resource: robots}
	case "/shared", "/shared/":
		return target{resource: sharedDB}
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if user, ok := strings.CutPrefix(first, "user-"); ok && validName(user) {
		return parseUserPath(user, rest)
	}
	second, rest, more := strings.Cut(rest, "/")
	switch {
	case first == "shared" && second == "doc" && u1db.ValidDocID(rest):
		return target{resource: sharedDoc, name: rest}
	case first == "blobs" && validName(second) && rest == "":
		return target{resource: blobList, user: second}
	case first == "blobs" && validName(second) && validName(rest):
		return target{resource: blob, user: second, name: rest}
	case first == "stream" && validName(second) && rest == "" && more:
		return target{resource: blobStream, user: second}
	}
	return target{resource: none}
}

func parseUserPath(user, path string) target {
	what, name, named := strings.Cut(path, "/")
	switch {
	case what == "sync-from" && u1db.ValidReplica(name):
		return target{syncFrom, user, name}
	case what == "doc" && name == keyringID:
		return target{keyringDoc, user, name}
	case what == "notify" && !named:
		return target{resource: notify, user: user}
	case what == "incoming" && !named:
		return target{resource: queue, user: user}
	case what == "incoming" && validName(name):
		return target{queueEntry, user, name}
	}
	return target{resource: none}
}

// validName reports whether s is a name of leap-protocols.md 7.10, at most 128
// bytes: of a user, a namespace, a blob, an entry of the queue.
func validName(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
