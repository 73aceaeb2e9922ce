package nickserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"leap.example/services/protocol/nick"
)

// hkp answers /pks/lookup. Options and modifiers other than op and search are
// accepted and change nothing: every answer is machine readable and exact.
func (s *Server) hkp(r *http.Request) (reply, error) {
	q := r.URL.Query()
	op := q.Get("op")
	if op != "get" && op != "index" && op != "vindex" {
		return reply{status: http.StatusNotImplemented, body: []byte("501 Not Implemented\n")}, nil
	}
	what, err := parseSearch(q.Get("search"))
	if err != nil {
		return reply{}, err
	}
	f, err := s.find(r.Context(), what)
	if err != nil {
		return reply{}, err
	}
	if op == "get" {
		return reply{http.StatusOK, "application/pgp-keys", []byte(f.armored)}, nil
	}
	key, err := nick.ParseKey(f.armored)
	if err != nil {
		return reply{}, fmt.Errorf("a found key: %v", err) // Ours, not the client's mistake.
	}
	return reply{status: http.StatusOK, body: index(key, time.Now())}, nil
}

// index renders a key as the machine readable index of one key. Algorithm and
// length stay empty, which the format allows: a client that wants them gets
// the key.
func index(k nick.Key, now time.Time) []byte {
	var b strings.Builder
	b.WriteString("info:1:1\n")
	expires, flags := "", ""
	if !k.Expires.IsZero() {
		expires = fmt.Sprint(k.Expires.Unix())
	}
	if k.Expired(now) {
		flags = "e"
	}
	fmt.Fprintf(&b, "pub:%s:::%d:%s:%s\n", strings.ToUpper(k.Fingerprint), k.Created.Unix(), expires, flags)
	for _, a := range k.Addresses {
		fmt.Fprintf(&b, "uid:%s:::\n", url.PathEscape(string(a)))
	}
	return []byte(b.String())
}
