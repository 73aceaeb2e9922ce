package differ

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// A Request is what both servers are sent. In all of its parts <cur a> is the
// revision that the server shows of the document a, <old a> the one before the
// last that it told of, <last a> that last one, also of a deletion, and <since> the sequence at the end of the last feed that was
// read: each server has its own. Of a document
// that is not there or deleted there is none: an edit has no revision then, and deletes
// nothing.
type Request struct {
	Kind   string // What excuses know it by.
	Method string
	Path   string // In the database, escaped: "/a?rev=<cur a>".
	Body   string
	Type   string // Of the body, if not JSON.
	Header string // "Name: value".
}

func (r Request) String() string {
	s := r.Method + " " + r.Path
	if r.Header != "" {
		s += " [" + r.Header + "]"
	}
	if r.Body != "" {
		s += " " + r.Body
	}
	return s
}

// has reports whether a parameter is in the query.
func (r Request) has(param string) bool {
	return strings.Contains(r.Path, "?"+param+"=") || strings.Contains(r.Path, "&"+param+"=")
}

// Query appends parameters to a path; an empty value leaves its name out.
func Query(path string, pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1]; v != "" {
			if !strings.HasPrefix(v, "<") {
				v = url.QueryEscape(v)
			}
			all = append(all, pairs[i]+"="+v)
		}
	}
	if len(all) == 0 {
		return path
	}
	return path + "?" + strings.Join(all, "&")
}

// Object is JSON with its members in the order of their names.
func Object(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%v is no JSON", v))
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(b))
}
