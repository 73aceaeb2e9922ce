package replicate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// An Endpoint is a source or a target as a request names it.
type Endpoint struct {
	Name string // Of a database of this node; "" for a URL.

	url      *url.URL // Without user and password. Nil for a name.
	user     string
	password string
	basic    bool // There are user and password.
	header   http.Header
}

var databaseName = regexp.MustCompile(`^([a-z][a-z0-9_$()+/-]*|_users|_replicator|_global_changes)$`)

// ParseEndpoint reads a source or a target: a name, a URL, or an object with a
// url, headers and auth.
func ParseEndpoint(data []byte) (Endpoint, error) {
	var e Endpoint
	var text string
	if json.Unmarshal(data, &text) == nil && data[0] == '"' {
		return e, e.parse(text)
	}
	m, err := object(data)
	if err != nil {
		return e, errorf("bad_request", "is neither a name, nor a URL, nor an object")
	}
	if err := field(m, "url", &text); err != nil || text == "" {
		return e, errorf("bad_request", "has no url")
	}
	if err := e.parse(text); err != nil {
		return e, err
	}
	if err := e.readHeaders(m); err != nil {
		return e, err
	}
	return e, e.readAuth(m)
}

// parse reads a name or a URL.
func (e *Endpoint) parse(text string) error {
	if len(text) > 8<<10 {
		return errorf("bad_request", "is too long")
	}
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		if !databaseName.MatchString(text) {
			return errorf("bad_request", "is neither the name of a database nor a URL of http or https")
		}
		e.Name = text
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return errorf("bad_request", "is not a URL") // Not err: it has the password.
	}
	if u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || strings.Trim(u.Path, "/") == "" {
		return errorf("bad_request", "is not the URL of a database")
	}
	if u.User != nil {
		e.user, e.basic = u.User.Username(), true
		e.password, _ = u.User.Password()
	}
	u.User = nil
	path := strings.TrimRight(u.EscapedPath(), "/")
	if u.Path, err = url.PathUnescape(path); err != nil {
		return errorf("bad_request", "is not a URL")
	}
	u.RawPath = path
	u.ForceQuery = false
	e.url = u
	return nil
}

// ours are the headers that requests have anyway, or that belong to a single
// connection.
var ours = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")

func (e *Endpoint) readHeaders(m map[string]json.RawMessage) error {
	var headers map[string]string
	if err := field(m, "headers", &headers); err != nil {
		return errorf("bad_request", "has headers that are not an object of strings")
	}
	for name, value := range headers {
		key := http.CanonicalHeaderKey(name)
		if !token.MatchString(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return errorf("bad_request", "has a header that is none")
		}
		if slices.Contains(ours, key) {
			continue
		}
		if e.header == nil {
			e.header = http.Header{}
		}
		e.header.Set(key, value)
	}
	return nil
}

func (e *Endpoint) readAuth(m map[string]json.RawMessage) error {
	var auth struct {
		Basic *struct {
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"basic"`
	}
	if err := field(m, "auth", &auth); err != nil {
		return errorf("bad_request", "has an auth that is not understood")
	}
	if auth.Basic == nil {
		return nil
	}
	if e.basic {
		return errorf("bad_request", "has two names and passwords")
	}
	e.user, e.password, e.basic = auth.Basic.Username, auth.Basic.Password, true
	return nil
}

// String returns the endpoint for people, without its password.
func (e Endpoint) String() string {
	if e.url == nil {
		return e.Name
	}
	u := *e.url
	s := u.Scheme + "://"
	if e.basic {
		s += url.User(e.user).String() + ":*****@"
	}
	return s + u.Host + u.EscapedPath() + "/"
}

// identity is what tells the endpoint from another; nothing secret.
func (e Endpoint) identity() []any {
	if e.url == nil {
		return []any{"local", e.Name}
	}
	headers := e.header.Clone()
	headers.Del("Authorization")
	headers.Del("Cookie")
	return []any{"remote", e.url.Scheme + "://" + e.url.Host + e.url.EscapedPath(), e.user, headers}
}

// Remote returns the peer behind a URL.
func (e Endpoint) Remote(rt http.RoundTripper) *Peer {
	p := &Peer{transport: rt, url: e.url, header: e.header.Clone(), name: e.String()}
	if p.header == nil {
		p.header = http.Header{}
	}
	if e.basic {
		r := http.Request{Header: p.header}
		r.SetBasicAuth(e.user, e.password)
	}
	return p
}

// Strip returns a source or target of a document without what only its owner
// may see: user, password, headers.
func Strip(data json.RawMessage) json.RawMessage {
	var text string
	if m, err := object(data); err == nil && field(m, "url", &text) != nil {
		text = ""
	} else if err != nil && json.Unmarshal(data, &text) != nil {
		text = ""
	}
	var e Endpoint
	if e.parse(text) != nil {
		text = ""
	} else if e.url != nil {
		text = e.url.String()
	}
	out, _ := json.Marshal(text) // A string cannot fail.
	return out
}

// object decodes an object by the exact names of its members.
func object(data []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errorf("bad_request", "is null")
	}
	return m, nil
}

// field decodes a member that may be missing or null.
func field(m map[string]json.RawMessage, name string, to any) error {
	if m[name] == nil {
		return nil
	}
	return json.Unmarshal(m[name], to)
}
