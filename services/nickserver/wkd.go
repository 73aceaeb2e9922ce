package nickserver

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/protocol/nick"
)

// directory answers what is below /.well-known/openpgpkey/, of the domain that
// the Host header names (direct method) or the path (advanced method):
// draft-koch-openpgp-webkey-service, 3.1.
func (s *Server) directory(r *http.Request) (reply, error) {
	domain, file := splitWKD(r.PathValue("path"))
	if !s.ours(r.Host) || domain != "" && !strings.EqualFold(domain, s.cfg.Domain) {
		return reply{}, errNoKey
	}
	if file == "policy" {
		return reply{status: http.StatusOK}, nil // 4.5: there must be one; ours has nothing to say.
	}
	hash, ok := strings.CutPrefix(file, "hu/")
	if !ok {
		return reply{}, errNoKey
	}
	f, err := s.byHash(r.Context(), hash)
	if err != nil {
		return reply{}, err
	}
	key, err := nick.ParseKey(f.armored)
	if err != nil {
		return reply{}, fmt.Errorf("a stored key: %v", err) // Ours, not the client's mistake.
	}
	return reply{http.StatusOK, "application/octet-stream", key.Binary}, nil
}

// splitWKD splits a path into the domain of the advanced method, if it has
// one, and the rest.
func splitWKD(path string) (domain, file string) {
	domain, file, ok := strings.Cut(path, "/")
	if !ok || domain == "hu" {
		return "", path
	}
	return domain, file
}

// ours reports whether a Host header names the domain or one of the two hosts
// of this service.
func (s *Server) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	d := s.cfg.Domain
	return slices.Contains([]string{d, "openpgpkey." + d, "nicknym." + d}, host)
}
