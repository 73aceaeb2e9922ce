package nickserver

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"leap.example/services/protocol/problem"
)

const maxForm = 4 << 10 // Of a form body, bytes.

// A reply is one answer, whatever protocol it is in.
type reply struct {
	status int
	typ    string // Content-Type; empty: text/plain.
	body   []byte
}

// A render makes the answer to a request that failed, in the words of the
// protocol that was spoken.
type render func(problem.Kind) reply

// routes serves the lookup listener.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.handle(s.classic, s.classicFailure))
	mux.HandleFunc("POST /{$}", s.handle(s.classic, s.classicFailure))
	mux.HandleFunc("GET /pks/lookup", open(s.handle(s.hkp, textFailure)))
	s.wkd(mux)
	return mux
}

// wkdRoutes serves the directory listener.
func (s *Server) wkdRoutes() http.Handler {
	mux := http.NewServeMux()
	s.wkd(mux)
	return mux
}

func (s *Server) wkd(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/openpgpkey/{path...}", open(s.handle(s.directory, textFailure)))
}

// open lets scripts of any origin read the answer: it is public.
func open(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		h(w, r)
	}
}

// handle adapts a function from request to reply into a handler. It is the
// only place that writes a response, bounds what a client may ask, and logs.
func (s *Server) handle(f func(*http.Request) (reply, error), failure render) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.limit.allow(clientOf(r), time.Now()) {
			w.Header().Set("Retry-After", "10")
			write(w, textFailure(problem.Limit))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		out, err := f(r)
		if err != nil {
			kind := problem.KindOf(err)
			if kind == problem.Internal || kind == problem.Unavailable {
				s.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
			}
			out = failure(kind)
		}
		write(w, out)
	}
}

func write(w http.ResponseWriter, out reply) {
	typ := out.typ
	if typ == "" {
		typ = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", typ)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // A broken connection has nowhere to report to.
}

// textFailure is the answer of the protocols that know none of their own.
func textFailure(kind problem.Kind) reply {
	status := kind.Status()
	return reply{status: status, body: []byte(strconv.Itoa(status) + " " + http.StatusText(status) + "\n")}
}

func clientOf(r *http.Request) netip.Addr {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // All of these are one client.
	}
	return a.Addr()
}
