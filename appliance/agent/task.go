package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"leap.example/services/protocol/problem"
)

// Limits of a task.
const (
	taskFor   = time.Minute
	maxTask   = 64 << 10 // Bytes of a request.
	maxAnswer = 1 << 20
)

// here reports whether a service runs on this node, as its document says.
func (a *Agent) here(service string) error {
	d, _ := a.now()
	if _, ok := d.Services[service]; !ok {
		return problem.NotExist.Errorf("%s does not run on %s", service, a.cfg.Identity.Node)
	}
	return nil
}

// serveTask has a service do something for an operator, by the socket that only
// root and the service can reach. Which tasks there are is the service's business.
func (a *Agent) serveTask(w http.ResponseWriter, r *http.Request) error {
	service, task := r.PathValue("service"), r.PathValue("task")
	if err := a.here(service); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), taskFor)
	defer cancel()
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(a.cfg.RunDir, service, "health", "tasks"))
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service/"+task, http.MaxBytesReader(w, r.Body, maxTask))
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return problem.Unavailable.Errorf("%s does not do tasks now: %w", service, err)
	}
	defer resp.Body.Close() // Only read.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return problem.Unavailable.Errorf("%s: %w", service, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", service, problem.Parse(resp.StatusCode, body))
	}
	a.log.InfoContext(r.Context(), "an operator had a task done", "service", service, "task", task)
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// serveRestart restarts a service. While a document or a release is judged it
// does not, since that would spoil the verdict.
func (a *Agent) serveRestart(life context.Context, w http.ResponseWriter, r *http.Request) error {
	service := r.PathValue("service")
	if err := a.here(service); err != nil {
		return err
	}
	free, err := a.take(r.Context())
	if err != nil {
		return err
	}
	defer free()
	a.log.InfoContext(r.Context(), "an operator restarts a service", "service", service)
	if err := a.parts.Supervisor.Restart(life, service); err != nil {
		return problem.Unavailable.Errorf("%s: %w", service, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
