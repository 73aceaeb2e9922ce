package agent

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/daemon"
	"leap.example/services/protocol/problem"
)

// Limits of the API.
const (
	maxBundle   = 16 << 20
	maxLogLines = 10_000
	bodyFor     = time.Minute // Until a bundle has come in.
	lineFor     = 30 * time.Second
)

// Serve serves the API on ln until ctx is done.
func (a *Agent) Serve(ctx context.Context, ln net.Listener) error {
	if _, err := a.certificate(a.newborn()); err != nil {
		return err
	}
	conf := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.handshake() }}
	hs := &http.Server{Handler: a.routes(ctx), MaxHeaderBytes: 16 << 10, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	hs.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connection{}, new(atomic.Bool))
	}
	return daemon.Serve(ctx, tls.NewListener(ln, conf), hs)
}

// connection is the key of what is remembered of a connection: whether an
// operator has been admitted over it.
type connection struct{}

// contact counts a connection over which an operator is admitted who can mend
// what is wrong.
func (a *Agent) contact(r *http.Request) {
	if !slices.Contains(a.roles(r), node.RoleDeploy) {
		return
	}
	if known, ok := r.Context().Value(connection{}).(*atomic.Bool); ok && known.CompareAndSwap(false, true) {
		a.contacts.Add(1)
	}
}

func (a *Agent) routes(life context.Context) http.Handler {
	mux := http.NewServeMux()
	read, deploy := []string{node.RoleRead, node.RoleDeploy}, []string{node.RoleDeploy}
	mux.HandleFunc("GET "+node.PathStatus, a.handle(read, a.serveStatus))
	mux.HandleFunc("GET "+node.PathLogs, a.handle(read, a.serveLogs))
	mux.HandleFunc("GET "+node.PathMetrics, a.handle(read, a.serveMetrics))
	mux.HandleFunc("POST "+node.PathApply, a.handle(deploy, func(w http.ResponseWriter, r *http.Request) error { return a.serveApply(life, w, r) }))
	mux.HandleFunc("POST "+node.PathReboot, a.handle(deploy, a.serveReboot))
	mux.HandleFunc("GET "+node.PathTime, a.handle(read, a.serveTime))
	mux.HandleFunc("POST "+node.PathTime, a.handle(deploy, a.serveTime))
	mux.HandleFunc("GET "+node.PathChecks, a.handle(read, a.serveChecks))
	mux.HandleFunc("POST "+node.PathTask+"{service}/{task}", a.handle(deploy, a.serveTask))
	mux.HandleFunc("POST "+node.PathRestart+"{service}", a.handle(deploy, func(w http.ResponseWriter, r *http.Request) error { return a.serveRestart(life, w, r) }))
	mux.HandleFunc("PUT "+node.PathRelease, a.handle(deploy, a.serveRelease))
	mux.HandleFunc("POST "+node.PathBack, a.handle(deploy, func(w http.ResponseWriter, r *http.Request) error { return a.serveBack(life, w, r) }))
	mux.HandleFunc("POST "+node.PathUpdate, a.handle(deploy, a.serveUpdate))
	mux.HandleFunc("GET "+node.PathMirror, a.handle(read, a.serveCopies))
	mux.HandleFunc("PUT "+node.PathMirror, a.handle(deploy, a.serveMirror))
	mux.HandleFunc("/", a.handle(read, func(http.ResponseWriter, *http.Request) error {
		return problem.NotExist.Errorf("the agent has no such page")
	}))
	return mux
}

// handle admits operators with one of the roles, and writes errors.
func (a *Agent) handle(wanted []string, f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := a.allowed(r, wanted)
		if err == nil {
			a.contact(r)
			err = f(w, r)
		}
		if err == nil || r.Context().Err() != nil {
			return
		}
		kind := problem.KindOf(err)
		if kind == problem.Internal {
			a.log.ErrorContext(r.Context(), "request failed", "path", r.Pattern, "err", err)
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(kind.Status())
		json.NewEncoder(w).Encode(document(err)) // A broken connection has nowhere to report to.
	}
}

// document is what an operator is told of an error: all of it.
func document(err error) problem.Document {
	return problem.Document{Type: problem.KindOf(err), Detail: err.Error()}
}

// roles are those of the operator who asks: what the document says of his key, or,
// if it names no operators, his certificate. Of somebody whom it does not name there
// are none.
func (a *Agent) roles(r *http.Request) []string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	cert := r.TLS.PeerCertificates[0]
	if d, _ := a.now(); len(d.Agent.Operators) > 0 {
		role, ok := d.Agent.Operators[node.KeyFingerprint(cert)]
		if !ok {
			return nil
		}
		return []string{role}
	}
	return cert.Subject.OrganizationalUnit
}

// allowed reports whether the operator has one of the roles.
func (a *Agent) allowed(r *http.Request, wanted []string) error {
	has := a.roles(r)
	if len(has) == 0 {
		return problem.Permission.Errorf("the node knows no operator with the key of this certificate: he was removed, or added after the last deploy to it")
	}
	if !slices.ContainsFunc(wanted, func(role string) bool { return slices.Contains(has, role) }) {
		return problem.Permission.Errorf("this certificate has the role %q, and %s needs %q", has, r.URL.Path, wanted[len(wanted)-1])
	}
	return nil
}

func (a *Agent) serveStatus(w http.ResponseWriter, r *http.Request) error {
	s, err := a.Status(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(s)
}

// lines writes JSON values, one in a line, each sent at once.
type lines struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
	err   error // Of the connection; nothing is written any more.
}

func newLines(w http.ResponseWriter) *lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &lines{w: w, rc: http.NewResponseController(w)}
}

func (l *lines) write(v any) error {
	l.begun = true
	if l.err == nil {
		l.err = errors.Join(l.rc.SetWriteDeadline(time.Now().Add(lineFor)), json.NewEncoder(l.w).Encode(v), l.rc.Flush())
	}
	return l.err
}

// serveApply applies a document. What is refused has a status of its own; once
// there was an event, all is said in events, since the node is changing.
func (a *Agent) serveApply(life context.Context, w http.ResponseWriter, r *http.Request) error {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyFor)); err != nil {
		return err
	}
	var b node.Bundle
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBundle))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return problem.Invalid.Errorf("the bundle: %w", err)
	}
	events := make(chan node.Event, 64)
	ended := make(chan error, 1)
	go func() {
		verdict, err := a.Apply(life, b, func(e node.Event) {
			select {
			case events <- e:
			default: // Nobody reads any more: the verdict is in the status.
			}
		})
		if err == nil {
			e := node.Event{Text: "generation " + strconv.FormatUint(verdict.Number, 10) + " is " + verdict.State, Verdict: &verdict}
			select {
			case events <- e:
			default:
			}
		}
		close(events)
		ended <- err
	}()
	out := newLines(w)
	for {
		select {
		case <-r.Context().Done():
			return r.Context().Err() // It goes on without the one who asked.
		case e, more := <-events:
			if more {
				_ = out.write(e) // The same.
				continue
			}
			err := <-ended
			if err == nil || !out.begun {
				return err
			}
			return out.write(node.Event{Text: "the node needs help", Error: document(err).Detail})
		}
	}
}

func (a *Agent) serveLogs(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	n := 100
	if text := q.Get("lines"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 0 || n > maxLogLines {
			return problem.Invalid.Errorf("lines is a number between 0 and %d", maxLogLines)
		}
	}
	service := q.Get("service")
	if _, ok := node.ID(service); service != "" && service != "agent" && !ok {
		return problem.NotExist.Errorf("there is no service %q", service)
	}
	out := newLines(w)
	return a.parts.Supervisor.Logs(r.Context(), service, n, q.Get("follow") == "1", func(l node.LogLine) error { return out.write(l) })
}

func (a *Agent) serveReboot(w http.ResponseWriter, r *http.Request) error {
	a.log.InfoContext(r.Context(), "an operator restarts the machine")
	return a.restart(context.WithoutCancel(r.Context()), w)
}
