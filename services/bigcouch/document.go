package bigcouch

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"leap.example/services/bigcouch/store"
)

// A document is one as a client sends it.
type document struct {
	id        string // "" if it has no _id.
	rev       string // "" if it has no _rev.
	deleted   bool
	revisions *revisions
	atts      []inline
	parts     *partsReader // Where the attachments that follow are; nil: nowhere.
	body      []byte       // Without the members that begin with "_".
}

// revisions is the member _revisions: the revision and its ancestors.
type revisions struct {
	Start int      `json:"start"`
	IDs   []string `json:"ids"`
}

// An inline is one member of _attachments.
type inline struct {
	name string

	Stub        bool    `json:"stub"`
	Follows     bool    `json:"follows"`
	ContentType string  `json:"content_type"`
	Data        *string `json:"data"`
	Digest      string  `json:"digest"`
	RevPos      int     `json:"revpos"`

	// Of one that follows. A packed one is sent packed; its digest is that of
	// what is sent.
	Length        *int64 `json:"length"`
	Encoding      string `json:"encoding"`
	EncodedLength *int64 `json:"encoded_length"`
}

// members calls f for each member of an object in compact, valid JSON.
func members(obj []byte, f func(key string, value []byte) error) error {
	for i := 1; i < len(obj)-1; {
		n := valueEnd(obj[i:])
		key, err := unquote(obj[i : i+n])
		if err != nil {
			return err
		}
		i += n + 1
		n = valueEnd(obj[i:])
		if err := f(key, obj[i:i+n]); err != nil {
			return err
		}
		i += n + 1
	}
	return nil
}

// valueEnd returns the length of the value that compact, valid JSON begins with.
func valueEnd(s []byte) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			i += stringEnd(s[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(s)
}

// stringEnd returns the length of the string that valid JSON begins with.
func stringEnd(s []byte) int {
	for i := 1; ; {
		n := bytes.IndexByte(s[i:], '"')
		escaped := bytes.IndexByte(s[i:i+n], '\\')
		if escaped < 0 {
			return i + n + 1
		}
		i += escaped + 2
	}
}

func unquote(s []byte) (string, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s[1 : len(s)-1]), nil
	}
	var v string
	err := json.Unmarshal(s, &v)
	return v, err
}

// parseDocument takes a document in compact, valid JSON apart. Of a member that
// is there twice the last counts.
func parseDocument(data []byte) (*document, error) {
	if data[0] != '{' {
		return nil, badRequest("Document must be a JSON object")
	}
	d := new(document)
	var keys []string
	values := map[string][]byte{}
	err := members(data, func(key string, value []byte) error {
		if strings.HasPrefix(key, "_") && !replicationMembers[key] {
			return d.special(key, value)
		}
		if _, twice := values[key]; !twice {
			keys = append(keys, key)
		}
		values[key] = value
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.body = make([]byte, 1, len(data))
	d.body[0] = '{'
	for i, key := range keys {
		if i > 0 {
			d.body = append(d.body, ',')
		}
		d.body = appendJSON(d.body, key)
		d.body = append(append(d.body, ':'), values[key]...)
	}
	d.body = append(d.body, '}')
	return d, nil
}

// appendJSON appends a string as JSON.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			enc, _ := json.Marshal(s) // Strings cannot fail.
			return append(b, enc...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// special reads a member that begins with "_".
func (d *document) special(key string, value []byte) error {
	var err error
	switch key {
	case "_id":
		if json.Unmarshal(value, &d.id) != nil || value[0] != '"' {
			return illegalID("Document id must be a string")
		}
		return checkID(d.id)
	case "_rev":
		if value[0] != '"' || json.Unmarshal(value, &d.rev) != nil {
			return badRequest("Invalid rev format")
		}
	case "_deleted":
		if err = json.Unmarshal(value, &d.deleted); err != nil {
			return validation("Bad special document member: _deleted")
		}
	case "_revisions":
		d.revisions = new(revisions)
		if err = json.Unmarshal(value, d.revisions); err != nil {
			return validation("Bad special document member: _revisions")
		}
	case "_attachments":
		return d.attachments(value)
	case "_revs_info", "_conflicts", "_deleted_conflicts", "_local_seq":
		// What a reader was told; it means nothing in a write.
	default:
		return validation("Bad special document member: %s", key)
	}
	return nil
}

func (d *document) attachments(value []byte) error {
	d.atts = nil
	if value[0] != '{' {
		return badRequest("Attachments property must be an object")
	}
	at := map[string]int{}
	return members(value, func(name string, value []byte) error {
		if err := checkAttachmentName(name); err != nil {
			return err
		}
		a := inline{name: name, ContentType: "application/octet-stream"}
		if json.Unmarshal(value, &a) != nil || value[0] != '{' {
			return badRequest("Invalid attachment %q", name)
		}
		if !a.Follows && !a.Stub && a.Data == nil {
			return badRequest("Attachment %q is neither a stub nor has data", name)
		}
		if a.Stub {
			a.Follows = false
		}
		if i, twice := at[name]; twice {
			d.atts[i] = a
			return nil
		}
		at[name] = len(d.atts)
		d.atts = append(d.atts, a)
		return nil
	})
}

func checkAttachmentName(name string) error {
	switch {
	case name == "" || len(name) > 4096:
		return badRequest("Attachment name is empty or too long")
	case name[0] == '_':
		return badRequest("Attachment name '%s' starts with prohibited character '_'", name)
	case !utf8.ValidString(name):
		return badRequest("Attachment name is not UTF-8 encoded")
	}
	return nil
}

// path returns the revision of a replicated document and its ancestors.
func (d *document) path() ([]store.Rev, error) {
	if d.revisions == nil {
		rev, err := store.ParseRev(d.rev)
		if err != nil {
			return nil, validation("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
		}
		return []store.Rev{rev}, nil
	}
	path := make([]store.Rev, len(d.revisions.IDs))
	for i, id := range d.revisions.IDs {
		rev, err := store.MakeRev(d.revisions.Start-i, id)
		if err != nil {
			return nil, validation("Bad special document member: _revisions")
		}
		path[i] = rev
	}
	if len(path) == 0 || d.rev != "" && d.rev != path[0].String() {
		return nil, validation("Bad special document member: _revisions")
	}
	return path, nil
}

// md5Of reads the member digest of a stub; zero if it is none of ours.
func md5Of(digest string) (sum [16]byte) {
	text, ok := strings.CutPrefix(digest, "md5-")
	if raw, err := base64.StdEncoding.DecodeString(text); ok && err == nil && len(raw) == len(sum) {
		copy(sum[:], raw)
	}
	return sum
}
