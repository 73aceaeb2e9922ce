package webapp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

const (
	readTimeout  = 20 * time.Second // For a whole request, body included.
	workTimeout  = 30 * time.Second // For what is done about it.
	writeTimeout = 60 * time.Second
)

// A request is one call of the API on its way to an action.
type request struct {
	*http.Request
	caller caller
	header http.Header // Of the answer.
}

// An action carries out a call. It returns what is answered: created, empty,
// plain, *document, or anything that becomes JSON with status 200.
type action func(r *request) (any, error)

type (
	created struct{ body any } // 201.
	empty   struct{}           // 204.
	plain   string             // 200, text/plain.
)

// api returns the handler of the API listener.
func (s *site) api() http.Handler {
	mux := http.NewServeMux() // Never http.DefaultServeMux: gokrazy owns it.
	route := func(pattern string, who admission, f action) {
		mux.HandleFunc(pattern, s.handle(who, f))
	}
	route("POST /{v}/users", anyone, s.signup)
	route("GET /{v}/users", staff, s.searchUsers)
	route("GET /{v}/users/{id}", staff, s.showUser)
	route("PUT /{v}/users/{id}", members, s.updateUser)
	route("DELETE /{v}/users/{id}", membersOrStaff, s.deleteUser)
	route("POST /{v}/sessions", anyone, s.handshake)
	route("PUT /{v}/sessions/{login}", anyone, s.login)
	route("DELETE /{v}/logout", anybody, s.logout)
	route("POST /{v}/cert", anyone, s.cert)
	route("GET /{v}/cert", anyone, s.cert)
	route("POST /{v}/smtp_cert", members, s.smtpCert)
	route("GET /{v}/service", anyone, s.service)
	route("GET /{v}/configs", anyone, s.configs)
	route("GET /{v}/configs/{id}", anyone, s.config)
	route("GET /{v}/messages", members, s.messages)
	route("GET /{v}/identities/{address}", staff, s.identity)
	route("GET /{v}/keys", members, s.keys)
	route("GET /{v}/keys/{type}", members, s.key)
	route("POST /{v}/keys", members, s.addKey)
	route("PATCH /{v}/keys/{type}", members, s.changeKey)
	route("DELETE /{v}/keys/{type}", members, s.removeKey)
	route("GET /{v}/mx-keys", anyone, s.mxKeys)
	route("GET /{v}/config/{id}", anyone, s.publicConfig)
	route("POST /{v}/config/{id}", anyone, s.noOpenVPN)
	mux.HandleFunc("GET /{v}"+provider.PathGateways, s.listGateways)
	route("GET /{v}/ca.crt", anyone, s.caCert)
	mux.HandleFunc("GET /{v}/provider", s.providerJSON)
	mux.HandleFunc("/{v}/provider", s.noProviderJSON)
	route("/", anyone, notFound)
	return frame(versioned(mux), apiPolicy)
}

func notFound(*request) (any, error) { return nil, problem.NotExist.Errorf("Not found.") }

// versioned gives every path a version and takes the suffix ".json" from it:
// /users/0.json becomes /2/users/0. Of version 3 are certificates and service
// files alone (leap-protocols.md 11.6).
func versioned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimSuffix(r.URL.Path, ".json")
		third := path == "/3/cert" || path == "/3/configs" || strings.HasPrefix(path, "/3/config/")
		if !strings.HasPrefix(path, "/1/") && !strings.HasPrefix(path, "/2/") && !third {
			path = "/2" + path
		}
		r2 := new(http.Request)
		*r2 = *r
		r2.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
		next.ServeHTTP(w, r2)
	})
}

// handle adapts an action into a handler. It is the only place of the API
// that writes an answer, and the only one that logs an error.
func (s *site) handle(who admission, f action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		req := &request{Request: r, header: w.Header()}
		reply, err := s.run(req, who, f)
		if err != nil {
			s.writeError(w, req, err)
			return
		}
		write(w, r, reply)
	}
}

func (s *site) run(r *request, who admission, f action) (reply any, err error) {
	if r.caller, err = s.authenticate(r.Request); err != nil {
		return nil, err
	}
	if err := r.caller.admit(who); err != nil {
		return nil, err
	}
	return f(r)
}

func write(w http.ResponseWriter, r *http.Request, reply any) {
	switch reply := reply.(type) {
	case *document:
		reply.serve(w, r)
	case empty:
		w.WriteHeader(http.StatusNoContent)
	case created:
		writeJSON(w, http.StatusCreated, reply.body)
	case plain:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, string(reply)) // A broken connection has nowhere to report to.
	default:
		writeJSON(w, http.StatusOK, reply)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // The type is JSON and nosniff.
	e.Encode(v)            // A broken connection has nowhere to report to.
}

// body reads the request's body, within the limit of the protocol.
func (r *request) body() ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bonafide.MaxBody))
	if err == nil {
		return data, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errTooSlow
	}
	return nil, problem.Invalid.Errorf("the request's body ended early")
}

// decode reads the request's body with one of bonafide's decoders.
func decode[T any](r *request, f func(contentType string, body []byte) (T, error)) (T, error) {
	data, err := r.body()
	if err != nil {
		var none T
		return none, err
	}
	return f(r.Header.Get("Content-Type"), data)
}

// limit counts one event against a rate; staff has none.
func (r *request) limit(l *limiter, key string) error {
	if r.caller.monitor || r.caller.admin {
		return nil
	}
	ok, wait := l.allow(key)
	if ok {
		return nil
	}
	r.header.Set("Retry-After", retryAfter(wait))
	return problem.Limit.Errorf("Too many requests. Please try again later.")
}

func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int(wait/time.Second) + 1)
}

func (r *request) network() string { return network(remote(r.RemoteAddr)) }

const (
	apiPolicy = "default-src 'none'; frame-ancestors 'none'"
	webPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// frame sets what every answer carries (leap-protocols.md 1.4) and the time
// that every request has.
func frame(next http.Handler, policy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		h := w.Header()
		h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
		h.Set("Content-Language", "en")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
