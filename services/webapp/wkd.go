package webapp

import (
	"fmt"
	"net"
	"strings"
	"time"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// directory serves GET /.well-known/openpgpkey/: the Web Key Directory of the
// domain, which clients look for on port 443 of the domain itself (direct
// method) or of openpgpkey.DOMAIN (advanced method, with the domain in the
// path), draft-koch-openpgp-webkey-service, 3.1.
func (s *site) directory(r *request) (any, error) {
	r.header.Set("Access-Control-Allow-Origin", "*") // Public, for scripts too.
	if err := r.limit(s.limits.lookup, r.network()); err != nil {
		return nil, err
	}
	file := r.PathValue("path")
	if domain, rest, ok := strings.Cut(file, "/"); ok && strings.EqualFold(domain, s.cfg.Domain) {
		file = rest
	}
	if !s.keyHost(r.Host) {
		return nil, errNoKey
	}
	if file == "policy" {
		return plain(""), nil // 4.5: there must be one; ours has nothing to say.
	}
	hash, ok := strings.CutPrefix(file, "hu/")
	if !ok || len(hash) != len(nick.WKDHash("")) {
		return nil, errNoKey
	}
	armored, err := published(s.st.Identities.ByWKD(r.Context(), hash))
	if err != nil {
		return nil, err
	}
	key, err := nick.ParseKey(armored)
	if err != nil {
		return nil, fmt.Errorf("a stored key: %v", err) // Ours, not the client's mistake.
	}
	return newDocument(key.Binary, time.Time{}, "application/octet-stream"), nil
}

var errNoKey = problem.NotExist.Errorf("No such key.")

// keyHost reports whether a Host header names a host of the Web Key Directory.
func (s *site) keyHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimPrefix(strings.ToLower(strings.TrimSuffix(host, ".")), "openpgpkey.")
	return host == s.cfg.Domain
}
