package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"leap.example/client/caller"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// A Server answers the control socket. It is a daemon.Service.
type Server struct {
	path    string
	backend Backend
	vpn     VPN
	updates Updates
	log     *slog.Logger
}

// NewServer returns a server that will listen on the unix socket at path,
// whose directory it makes (0700) if it is missing. Without a VPN or updates, nil,
// there are no calls about them.
func NewServer(path string, backend Backend, vpn VPN, updates Updates, log *slog.Logger) *Server {
	return &Server{path: path, backend: backend, vpn: vpn, updates: updates, log: log}
}

// Run listens and serves until ctx is done. It fails when another daemon
// answers on the socket.
func (s *Server) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	if c, err := net.DialTimeout("unix", s.path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("%w: another daemon answers on %s", daemon.ErrFatal, s.path)
	}
	os.Remove(s.path) // A killed daemon leaves its socket behind.
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", s.path)
	if err != nil {
		return err
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		ln.Close()
		return err
	}
	hs := &http.Server{
		Handler:     s.routes(),
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ReadTimeout: 10 * time.Second,
	}
	return daemon.Serve(ctx, ownOnly{ln.(*net.UnixListener)}, hs)
}

// ownOnly is a listener that hangs up on every other user.
type ownOnly struct{ *net.UnixListener }

// Accept waits for the next connection of our own user.
func (l ownOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := caller.Of(c); err == nil && uid == uint32(os.Geteuid()) {
			return c, nil
		}
		c.Close()
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	b := s.backend
	mux.HandleFunc("GET /v1/status", answer(s, func(r *http.Request, _ none) (any, error) { return b.Status(r.Context()), nil }))
	mux.HandleFunc("POST /v1/provider", answer(s, func(r *http.Request, q ProviderRequest) (any, error) { return b.AddProvider(r.Context(), q) }))
	mux.HandleFunc("POST /v1/signup", answer(s, func(r *http.Request, q Credentials) (any, error) { return none{}, b.SignUp(r.Context(), q) }))
	mux.HandleFunc("POST /v1/login", answer(s, func(r *http.Request, q Credentials) (any, error) { return none{}, b.Login(r.Context(), q) }))
	mux.HandleFunc("POST /v1/lock", answer(s, func(r *http.Request, _ none) (any, error) { return none{}, b.Lock(r.Context()) }))
	mux.HandleFunc("POST /v1/password", answer(s, func(r *http.Request, q PasswordChange) (any, error) { return none{}, b.ChangePassword(r.Context(), q) }))
	mux.HandleFunc("POST /v1/delete", answer(s, func(r *http.Request, q Credentials) (any, error) { return none{}, b.DeleteAccount(r.Context(), q) }))
	mux.HandleFunc("GET /v1/mail", answer(s, func(r *http.Request, _ none) (any, error) { return b.Mail(r.Context()) }))
	mux.HandleFunc("GET /v1/keys", answer(s, func(r *http.Request, _ none) (any, error) {
		if a := r.FormValue("address"); a != "" {
			return b.FindKey(r.Context(), a)
		}
		return b.Keys(r.Context())
	}))
	if s.vpn != nil {
		s.vpnRoutes(mux)
	}
	if s.updates != nil {
		s.updateRoutes(mux)
	}
	mux.HandleFunc("POST /v1/sync", answer(s, func(r *http.Request, _ none) (any, error) { return b.Sync(r.Context()) }))
	return mux
}

// none is the empty JSON object.
type none struct{}

// maxBody bounds a request body, in bytes.
const maxBody = 64 << 10

// answer adapts f into a handler. It is the only place that writes a response.
func answer[Q any](s *Server, f func(*http.Request, Q) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		var reply any
		err := decode(r, &q)
		if err == nil {
			reply, err = f(r, q)
		}
		if err != nil {
			// Nothing is left out: the only reader is the user whose data it is about.
			doc := problem.Document{Type: problem.KindOf(err), Detail: err.Error()}
			if doc.Type == problem.Internal {
				s.log.ErrorContext(r.Context(), "request failed", "route", r.Pattern)
			}
			write(w, doc.Type.Status(), problem.ContentType, doc)
			return
		}
		write(w, http.StatusOK, "application/json", reply)
	}
}

func decode(r *http.Request, q any) error {
	if r.Method != http.MethodPost {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return problem.Invalid.Errorf("the request is unreadable or over %d bytes", maxBody)
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, q); err != nil {
		return problem.Invalid.Errorf("the request is no JSON object of this call")
	}
	return nil
}

func write(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // A broken connection has nowhere to report to.
}
