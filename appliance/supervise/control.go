package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Paths of the control server.
const (
	pathList    = "/v1/services"
	pathStart   = "/v1/start"
	pathRestart = "/v1/restart"
	pathStop    = "/v1/stop"
	pathLogs    = "/v1/logs"
	pathReboot  = "/v1/reboot"
	argService  = "service"
)

const (
	maxLines     = 10000
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second // For each line of a log.
)

// Listen listens on a unix socket for the control server. A socket that a
// killed process has left there is replaced.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ownListener{ln}, nil
}

// ownListener accepts connections of processes of our own user only.
type ownListener struct{ net.Listener }

func (l ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && uid == os.Geteuid() {
			return c, nil
		}
		c.Close()
	}
}

// peer returns who is at the other end of a unix socket.
func peer(c net.Conn) (uid int, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}

// Serve answers on ln until ctx is done. It closes ln.
func (s *Supervisor) Serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathList, s.handle(func(*http.Request) (any, error) { return s.List(), nil }))
	mux.HandleFunc("POST "+pathStart, s.handle(withService(s.Start)))
	mux.HandleFunc("POST "+pathRestart, s.handle(withService(s.Restart)))
	mux.HandleFunc("POST "+pathStop, s.handle(withService(s.Stop)))
	mux.HandleFunc("POST "+pathReboot, s.reboot)
	mux.HandleFunc("GET "+pathLogs, s.logs)
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: readTimeout, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { hs.Close() })()
	err := hs.Serve(ln)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// A failure is what is answered when something went wrong.
type failure struct {
	Error string `json:"error"`
}

func (s *Supervisor) handle(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		reply, err := f(r)
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			reply = failure{err.Error()}
		}
		_ = json.NewEncoder(w).Encode(reply) // A broken connection has nowhere to report to.
	}
}

// reboot answers first: what comes then closes the connection, and who asked would take
// the restart for one that failed.
func (s *Supervisor) reboot(w http.ResponseWriter, r *http.Request) {
	s.handle(func(*http.Request) (any, error) { return struct{}{}, nil })(w, r)
	_ = http.NewResponseController(w).Flush() // Who has gone has gone.
	s.cfg.Reboot()
}

func withService(f func(context.Context, string) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) { return struct{}{}, f(r.Context(), r.URL.Query().Get(argService)) }
}

// logs answers with lines as JSON, one per line of the answer.
func (s *Supervisor) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name := q.Get(argService)
	n, err := strconv.Atoi(q.Get("lines"))
	if err != nil || n < 0 || n > maxLines {
		n = maxLines
	}
	lines, next, stop, err := s.cfg.Logs.follow(name, n)
	if err != nil {
		s.handle(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	defer stop()
	out := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	for _, line := range lines {
		if enc.Encode(line) != nil {
			return
		}
	}
	if q.Get("follow") == "" {
		return
	}
	for out.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case line := <-next:
			if err := errors.Join(out.SetWriteDeadline(time.Now().Add(writeTimeout)), enc.Encode(line)); err != nil {
				return
			}
		}
	}
}
