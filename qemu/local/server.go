package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"leap.example/qemu/cluster"
)

// Limits of the server.
const (
	offPatience = 40 * time.Second // For a node to stop its services.
	closeGrace  = 2 * time.Second  // For requests when the server ends.
)

// A Lab is what is running.
type Lab struct {
	PID     int       `json:"pid"`
	Socket  string    `json:"socket"`
	Release string    `json:"release"`
	Accel   string    `json:"accel"`
	Since   time.Time `json:"since"`
	// Resolver is a name server at loopback, host:port, for programs of this
	// machine: it says where nodes are here.
	Resolver string    `json:"resolver,omitempty"`
	Nodes    []Machine `json:"nodes"`
}

// A Machine is one node of it.
type Machine struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	On      bool   `json:"on"`
	PID     int    `json:"pid,omitempty"`
	Console string `json:"console"` // File with what its latest start wrote.
	// Here is where it is for programs of this machine, and Doors are the TCP ports
	// that are open there. Shut is why others are not.
	Here  string   `json:"here,omitempty"`
	Doors []uint16 `json:"doors,omitempty"`
	Shut  string   `json:"shut,omitempty"`
}

// file is where, in the directory of the cluster, a Lab without its nodes is kept.
const file = "lab.json"

// Lock makes this process the only one that serves dir, until release is called.
// The error wraps [ErrRuns] if another one does.
func Lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w in %s: %w", ErrRuns, dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // The lock goes with it.
}

// ErrRuns is that a directory is served already.
var ErrRuns = errors.New("these machines are run by another process")

// Serve serves a cluster whose directory is dir, until ctx is done or a client
// ends it. It switches all nodes off then, and leaves closing the cluster to the
// caller, who holds the lock of dir.
func Serve(ctx context.Context, dir, release string, c *cluster.Cluster) (err error) {
	private, err := os.MkdirTemp("", "leap-local") // In a short place: a socket's path has at most 107 bytes.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	ctx, end := context.WithCancel(ctx)
	defer end()
	accel, why := c.Accel()
	s := &server{
		cluster: c, dir: dir, end: end, here: map[netip.Addr]Machine{},
		lab: Lab{PID: os.Getpid(), Socket: filepath.Join(private, "lab"), Release: release, Accel: accel + " (" + why + ")", Since: time.Now().UTC()},
	}
	ln, err := net.Listen("unix", s.lab.Socket)
	if err != nil {
		return err
	}
	text, err := json.Marshal(s.lab)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, file), text, 0o600)
	}
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	defer func() { err = errors.Join(err, os.Remove(filepath.Join(dir, file))) }()
	return s.serve(ctx, ln)
}

// A server is one Serve.
type server struct {
	cluster *cluster.Cluster
	dir     string
	lab     Lab
	end     func()
	tunnels sync.WaitGroup

	mu   sync.Mutex
	here map[netip.Addr]Machine // What is told of doors.
}

func (s *server) serve(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /lab", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.now()) // Who asked has gone.
	})
	mux.HandleFunc("POST /start", s.do(func(r *http.Request) error { return s.cluster.Start(r.Context(), r.URL.Query()["node"]...) }))
	mux.HandleFunc("POST /stop", s.do(func(r *http.Request) error { return s.stop(r.Context(), r.URL.Query()["node"]) }))
	mux.HandleFunc("POST /doors", s.do(func(r *http.Request) error { return s.open(r.URL.Query()["at"]) }))
	mux.HandleFunc("POST /end", s.do(func(*http.Request) error { s.end(); return nil }))
	hs := &http.Server{
		BaseContext: func(net.Listener) context.Context { return ctx }, ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodConnect {
				s.connect(ctx, w, r)
				return
			}
			mux.ServeHTTP(w, r)
		}),
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	<-ctx.Done()
	off, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*offPatience)
	defer cancel()
	err := s.stop(off, nil)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
	defer cancel()
	if hs.Shutdown(grace) != nil {
		err = errors.Join(err, hs.Close())
	}
	<-served // It says that it was closed.
	s.tunnels.Wait()
	return err
}

// do answers a request with what f makes of it.
func (s *server) do(f func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := f(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// now is how the machines are.
func (s *server) now() Lab {
	s.mu.Lock()
	defer s.mu.Unlock()
	lab := s.lab
	for _, n := range s.cluster.Nodes() {
		one := Machine{Name: n.Name(), Address: n.Addr().String(), Console: n.Console()}
		if n.On() {
			one.On, one.PID = true, n.Machine().PID()
		}
		door := s.here[n.Addr()]
		one.Here, one.Doors, one.Shut = door.Here, door.Doors, door.Shut
		lab.Nodes = append(lab.Nodes, one)
	}
	return lab
}

// open opens doors to addresses with ports of the LAN. One that cannot be opened
// is no error: it is told with the machine, until its address is asked for again.
func (s *server) open(at []string) error {
	doors, err := s.cluster.Doors()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lab.Resolver = doors.Resolver()
	list := make([]netip.AddrPort, len(at))
	for k, text := range at {
		to, err := netip.ParseAddrPort(text)
		if err != nil || !to.Addr().Is4() {
			return fmt.Errorf("%q is no IPv4 address with a port", text)
		}
		list[k] = to
		m := s.here[to.Addr()]
		m.Here, m.Shut = doors.At(to.Addr()).String(), ""
		s.here[to.Addr()] = m
	}
	for _, to := range list {
		m := s.here[to.Addr()]
		if err := doors.Open(to); err != nil {
			m.Shut = err.Error()
		} else if !slices.Contains(m.Doors, to.Port()) {
			m.Doors = append(m.Doors, to.Port())
		}
		s.here[to.Addr()] = m
	}
	return nil
}

// stop presses the power buttons of nodes, of all if none is named, and cuts the
// power of those that do not stop in time.
func (s *server) stop(ctx context.Context, names []string) error {
	for _, name := range names {
		if s.cluster.Node(name) == nil {
			return fmt.Errorf("there is no node %s", name)
		}
	}
	var (
		wg   sync.WaitGroup
		all  = s.cluster.Nodes()
		errs = make([]error, len(all))
	)
	for k, n := range all {
		if len(names) == 0 || slices.Contains(names, n.Name()) {
			wg.Go(func() { errs[k] = n.Stop(ctx, offPatience) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// connect makes the client's connection one to an address on the LAN.
func (s *server) connect(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	lan, err := s.cluster.Dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = lan.Close() // Nothing was said over it.
		return
	}
	s.tunnels.Add(1)
	defer s.tunnels.Done()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), lan.Close() }) // The copies end.
	defer stop()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
		join(lan, conn, buffered)
	}
	_, _ = conn.Close(), lan.Close() // Both have ended.
}

// join copies both ways until both have ended. What the client has sent already
// is in early.
func join(lan, conn net.Conn, early io.Reader) {
	var wg sync.WaitGroup
	wg.Go(func() { pass(lan, early, conn) })
	wg.Go(func() { pass(conn, lan, lan) })
	wg.Wait()
}

// pass copies a stream, with its end. An error ends both directions.
func pass(to net.Conn, from io.Reader, source net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_, _ = to.Close(), source.Close()
	}
}
