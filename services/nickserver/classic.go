package nickserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// classic answers LEAP's own lookup, leap-protocols.md 4. The bodies are the
// original's; a malformed question is 400 and a failure 503 or 500, where the
// original has 500 for all of them.
func (s *Server) classic(r *http.Request) (reply, error) {
	address, fpr, err := question(r)
	if err != nil {
		return reply{}, err
	}
	switch {
	case address != "":
		addr, err := nick.ParseAddress(address)
		if err != nil {
			return s.malformed("Not a valid address"), nil
		}
		return s.classicAddress(r, addr)
	case fpr != "":
		fpr = strings.ToLower(fpr)
		if len(fpr) != 40 && len(fpr) != 64 || strings.Trim(fpr, "0123456789abcdef") != "" {
			return s.malformed("Fingerprint invalid: " + fpr[:min(len(fpr), 80)]), nil
		}
		f, err := s.byFingerprint(r.Context(), fpr)
		if errors.Is(err, problem.NotExist) {
			return textFailure(problem.NotExist), nil
		}
		if err != nil {
			return reply{}, err
		}
		return jsonReply(nick.Reply{OpenPGP: f.armored})
	}
	return textFailure(problem.NotExist), nil // Nobody feels asked.
}

func (s *Server) classicAddress(r *http.Request, addr nick.Address) (reply, error) {
	f, err := s.byAddress(r.Context(), addr)
	if errors.Is(err, problem.NotExist) && addr.Domain() != s.cfg.Domain {
		return textFailure(problem.NotExist), nil
	}
	if errors.Is(err, problem.Unavailable) && addr.Domain() != s.cfg.Domain {
		return reply{http.StatusBadGateway, "application/json", []byte(`{"error":"the other provider cannot be asked"}`)}, nil
	}
	if err != nil {
		return reply{}, err
	}
	return jsonReply(nick.Reply{Address: &f.address, OpenPGP: f.armored})
}

// question returns the parameters: of the query string first, else of the form
// in the body.
func question(r *http.Request) (address, fpr string, err error) {
	q := r.URL.Query()
	if r.Method == http.MethodPost && q.Get("address") == "" && q.Get("fingerprint") == "" {
		if err := r.ParseForm(); err != nil {
			return "", "", problem.Invalid.Errorf("malformed form")
		}
		q = url.Values(r.PostForm)
	}
	return q.Get("address"), q.Get("fingerprint"), nil
}

func (s *Server) malformed(text string) reply {
	if s.cfg.LegacyClients {
		return reply{status: http.StatusInternalServerError, body: []byte("500 " + text + "\n")}
	}
	return reply{status: http.StatusBadRequest, body: []byte("400 " + text + "\n")}
}

// classicFailure renders every other failure: an empty object.
func (s *Server) classicFailure(kind problem.Kind) reply {
	status := kind.Status()
	if s.cfg.LegacyClients && kind != problem.NotExist {
		status = http.StatusInternalServerError
	}
	return reply{status, "application/json", []byte("{}")}
}

func jsonReply(v any) (reply, error) {
	body, err := json.Marshal(v)
	return reply{http.StatusOK, "application/json", body}, err
}
