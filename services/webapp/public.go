package webapp

import (
	"net/http"
	"strings"

	"leap.example/services/protocol/problem"
)

// providerJSON serves provider.json. Each answer for it, also 304 and 404,
// tells the oldest client that is served (leap-protocols.md 1.1).
func (s *site) providerJSON(w http.ResponseWriter, r *http.Request) {
	s.minClient(w)
	s.providerDoc.serve(w, r)
}

// noProviderJSON answers what is not a GET.
func (s *site) noProviderJSON(w http.ResponseWriter, r *http.Request) {
	s.minClient(w)
	s.writeError(w, &request{Request: r, header: w.Header()}, problem.NotExist)
}

func (s *site) minClient(w http.ResponseWriter) {
	w.Header().Set("X-Minimum-Client-Version", s.cfg.MinClientVersion)
}

func (s *site) caCert(*request) (any, error) { return s.caDoc, nil }
func (s *site) mxKeys(*request) (any, error) { return s.mxKeysDoc, nil }

// publicConfig serves /1/config/eip-service.json and its like, which need no
// token (leap-protocols.md 1.3).
func (s *site) publicConfig(r *request) (any, error) {
	d, ok := s.serviceDocs[strings.TrimSuffix(r.PathValue("id"), ".json")]
	if !ok {
		return nil, problem.NotExist.Errorf("Not found.")
	}
	return d, nil
}

// configs serves the index of service files.
func (s *site) configs(r *request) (any, error) {
	return s.indexDocs[r.PathValue("v")], nil
}

// config serves a service file of the index: to users, or to everybody where
// anonymous certificates are allowed.
func (s *site) config(r *request) (any, error) {
	if r.caller.user == nil && !s.provider.Service.AllowAnonymous {
		return nil, problem.Unauthenticated
	}
	id := r.PathValue("id")
	known := false
	for _, file := range serviceNames {
		known = known || file == id
	}
	if !known {
		return nil, problem.Permission
	}
	return s.publicConfig(r)
}
