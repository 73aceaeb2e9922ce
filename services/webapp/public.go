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
	file, version := strings.TrimSuffix(r.PathValue("id"), ".json"), r.PathValue("v")
	d := s.serviceDocs[file]
	if version == "3" {
		d = nil
		if file == eipService {
			d = s.eip3Doc
		}
	}
	if d == nil || s.indexDocs[version] == nil {
		return nil, problem.NotExist.Errorf("Not found.")
	}
	return d, nil
}

// noOpenVPN answers a POST for eip-service.json, by which clients of OpenVPN
// ask for it (leap-protocols.md 11.6): they take any other status than 200 and
// 404 for the end of their start, before they touch firewall and routes. From
// the file they would learn that there is no gateway of theirs only behind a
// firewall that lets nothing out.
func (s *site) noOpenVPN(r *request) (any, error) {
	if strings.TrimSuffix(r.PathValue("id"), ".json") != eipService || s.eip3Doc == nil {
		return nil, problem.NotExist.Errorf("Not found.")
	}
	return nil, errNoOpenVPN
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
