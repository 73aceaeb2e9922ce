package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Status is what is known about one service.
type Status struct {
	Running  bool      `json:"running"`
	Since    time.Time `json:"since"`           // The latest start.
	Restarts int       `json:"restarts"`        // Since the process began.
	Error    string    `json:"error,omitempty"` // The latest failure, or why Check fails now.
}

// A member is one service of a group and what the group knows about it.
type member struct {
	name    string
	service Service

	mu     sync.Mutex // Guards what follows.
	starts int
	status Status
}

func (m *member) starting(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Restarts = m.starts
	m.starts++
	m.status.Running, m.status.Since = true, now
}

func (m *member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Running, m.status.Error = false, err.Error()
}

// check returns the status of m and whether it is healthy.
func (m *member) check(ctx context.Context) (Status, bool) {
	m.mu.Lock()
	s := m.status
	m.mu.Unlock()
	if c, ok := m.service.(Checker); ok && s.Running {
		if err := c.Check(ctx); err != nil {
			s.Error = err.Error()
			return s, false
		}
	}
	return s, s.Running
}

// ServeHTTP answers every request with the status of all services as JSON: 200
// if all are healthy, 503 if not. It belongs on a listener that only the node
// can reach.
func (g *Group) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	code, report := http.StatusOK, make(map[string]Status)
	for _, m := range g.members {
		s, ok := m.check(ctx)
		if !ok {
			code = http.StatusServiceUnavailable
		}
		report[m.name] = s
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(report) // A broken connection has nowhere to report to.
}

// AddHealth adds a listener that serves the status of g: host:port, or a path
// for a unix socket.
func (g *Group) AddHealth(listen string) { g.Add("health", &health{listen, g}) }

type health struct {
	listen string
	group  *Group
}

func (h *health) Run(ctx context.Context) error {
	network := "tcp"
	if strings.HasPrefix(h.listen, "/") {
		network = "unix"
		os.Remove(h.listen) // A killed process leaves its socket behind.
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, h.listen)
	if err != nil {
		return err
	}
	// No request has a body; one that announces a body and does not send it
	// would be waited for without end.
	return Serve(ctx, ln, &http.Server{Handler: h.group, ReadTimeout: 5 * time.Second})
}
