// Package deploytest is an agent without a node: it speaks the agent's API over
// TLS on loopback, checks what a real one checks, and remembers what it was
// told, so that tests of the workshop need no machine.
package deploytest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// An Agent is one node. Its exported fields are set before it is used.
type Agent struct {
	Identity node.Identity
	// Contact has documents wait for a new connection, as if they changed the network.
	Contact bool
	Plain   bool // It takes no releases that are packed.
	// Break has the connection break after the first event of a document.
	Break bool
	// Silent has the connection say nothing more after the first event, as when
	// the agent's address is gone.
	Silent  bool
	MeshKey string // Public, that it says it has made.
	// Checks are what it finds when it looks at itself.
	Checks []node.Check
	// Task does tasks of services. Nil: there are none.
	Task func(service, task string, request []byte) (any, error)
	// Mirror takes bundles. Nil: the node keeps no copies.
	Mirror func(bundle io.Reader) ([]node.Copy, error)
	// Lines are what its services have written.
	Lines []node.LogLine

	server  *http.Server
	served  chan struct{}
	address string

	requests atomic.Int64

	mu      sync.Mutex // Guards what follows.
	verdict func(node.Document) string
	status  node.Status
	secrets map[string]bool // By digest.
	applied []node.Document
	pushed  []int // Number of secrets in each bundle.

	releases  releases
	beginning bool
}

// Start has the agent listen on a loopback address, host:port. Close ends it.
func (a *Agent) Start(address string) error {
	pair, err := tls.X509KeyPair([]byte(a.Identity.Certificate), []byte(a.Identity.Key))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.Identity.Agent.OperatorCA)) {
		return errors.New("the identity names no authority of operators")
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	a.address, a.served, a.secrets = ln.Addr().String(), make(chan struct{}), map[string]bool{}
	a.status = node.Status{Provider: a.Identity.Provider, Node: a.Identity.Node, Release: "1.0.0", MeshKey: a.MeshKey, ClockKnown: true, ClockTold: true}
	a.status.Image = node.Image{Loader: "systemd-boot", State: node.StateGood}
	if !a.Plain {
		a.status.Image.Unpacks = node.ReleasePacked
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+node.PathStatus, a.handle(node.RoleRead, a.serveStatus))
	mux.HandleFunc("GET "+node.PathLogs, a.handle(node.RoleRead, a.serveLogs))
	mux.HandleFunc("POST "+node.PathApply, a.handle(node.RoleDeploy, a.serveApply))
	mux.HandleFunc("GET "+node.PathChecks, a.handle(node.RoleRead, func(w http.ResponseWriter, _ *http.Request) error { return json.NewEncoder(w).Encode(a.Checks) }))
	mux.HandleFunc("POST "+node.PathTask+"{service}/{task}", a.handle(node.RoleDeploy, a.serveTask))
	mux.HandleFunc("POST "+node.PathReboot, a.handle(node.RoleDeploy, a.restart))
	mux.HandleFunc("POST "+node.PathRestart+"{service}", a.handle(node.RoleDeploy, a.serveRestart))
	mux.HandleFunc("POST "+node.PathUpdate, a.handle(node.RoleDeploy, a.serveUpdate))
	mux.HandleFunc("PUT "+node.PathRelease, a.handle(node.RoleDeploy, a.serveRelease))
	mux.HandleFunc("PUT "+node.PathMirror, a.handle(node.RoleDeploy, a.serveMirror))
	mux.HandleFunc("POST "+node.PathBack, a.handle(node.RoleDeploy, a.serveBack))
	a.server = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	tlsLn := tls.NewListener(ln, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, MinVersion: tls.VersionTLS13,
	})
	go func() {
		defer close(a.served)
		_ = a.server.Serve(tlsLn) // It ends with Close.
	}()
	return nil
}

// Close ends the agent and all of its connections.
func (a *Agent) Close() error {
	err := a.server.Close()
	<-a.served
	return err
}

// Judge has f say why a document is bad. Nil, or "": it is good.
func (a *Agent) Judge(f func(node.Document) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verdict = f
}

// Address is where it listens, host:port.
func (a *Agent) Address() string { return a.address }

// Applied are the documents that were good, in order.
func (a *Agent) Applied() []node.Document {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.applied)
}

// Pushed are how many secrets came with each bundle, in order.
func (a *Agent) Pushed() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.pushed)
}

func (a *Agent) handle(role string, f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		has := r.TLS.VerifiedChains[0][0].Subject.OrganizationalUnit
		err := problem.Permission.Errorf("this certificate has the role %q, and %s needs %q", has, r.URL.Path, role)
		if slices.Contains(has, role) || slices.Contains(has, node.RoleDeploy) {
			err = f(w, r)
		}
		if err != nil {
			w.Header().Set("Content-Type", problem.ContentType)
			w.WriteHeader(problem.KindOf(err).Status())
			_ = json.NewEncoder(w).Encode(problem.Document{Type: problem.KindOf(err), Detail: err.Error()}) // Nobody to tell.
		}
	}
}

func (a *Agent) serveStatus(w http.ResponseWriter, _ *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	for digest := range a.secrets {
		s.Secrets = append(s.Secrets, digest)
	}
	return json.NewEncoder(w).Encode(s)
}

func (a *Agent) serveLogs(w http.ResponseWriter, r *http.Request) error {
	for _, l := range a.Lines {
		if want := r.URL.Query().Get("service"); want != "" && want != l.Service {
			continue
		}
		if err := json.NewEncoder(w).Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) serveTask(w http.ResponseWriter, r *http.Request) error {
	if a.Task == nil {
		return problem.NotExist.Errorf("there are no tasks")
	}
	request, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	answer, err := a.Task(r.PathValue("service"), r.PathValue("task"), request)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(answer)
}

// End has a service end for good.
func (a *Agent) End(service string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Services[service] = node.ServiceStatus{Error: "ended: status 125", Since: time.Now()}
}

// Begin has the node be at work since it has just started: its services have not
// begun, and it takes no documents.
func (a *Agent) Begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.beginning = true
	for name := range a.status.Services {
		a.status.Services[name] = node.ServiceStatus{}
	}
}

func (a *Agent) serveRestart(w http.ResponseWriter, r *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	service := r.PathValue("service")
	if _, ok := a.status.Services[service]; !ok {
		return problem.NotExist.Errorf("%s does not run here", service)
	}
	a.status.Services[service] = node.ServiceStatus{Running: true, Healthy: true}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
