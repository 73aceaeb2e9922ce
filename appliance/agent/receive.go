package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"leap.example/appliance/node"
	"leap.example/appliance/slots"
	"leap.example/services/protocol/problem"
)

// readFor is how long a release may come without any progress.
const readFor = time.Minute

// errDirect is why a machine takes no release.
var errDirect = problem.Invalid.Errorf("this machine was started without the boot loader of its disk: a release there would never be started")

// take has nothing else be changed until free is called.
func (a *Agent) take(ctx context.Context) (free func(), err error) {
	select {
	case a.applying <- struct{}{}:
		return func() { <-a.applying }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(busyFor):
		return nil, a.busy()
	}
}

// change is take for what would spoil the verdict on a release on trial, or be
// taken for its fault.
func (a *Agent) change(ctx context.Context) (free func(), err error) {
	free, err = a.take(ctx)
	if err == nil && a.imageNow().State == node.StateTrial {
		free()
		return nil, a.busy()
	}
	return free, err
}

// receive writes a release beside the one that runs, to be tried at the next
// start. more is how much longer it may take to be found good than its services.
func (a *Agent) receive(ctx context.Context, t slots.Target, more time.Duration, content io.Reader) (node.Armed, error) {
	if a.cfg.Releases == nil {
		return node.Armed{}, errDirect
	}
	free, err := a.change(ctx)
	if err != nil {
		return node.Armed{}, err
	}
	defer free()
	d, _ := a.now()
	armed := node.Armed{Version: t.Version, Within: node.Duration(within(d) + more)}
	err = a.cfg.Releases.Write(ctx, t, time.Duration(armed.Within), content)
	switch {
	case errors.Is(err, slots.ErrSpace):
		return armed, problem.Limit.Errorf("%w", err)
	case err != nil:
		return armed, problem.Invalid.Errorf("%w", err)
	}
	a.log.InfoContext(ctx, "a release is written", "release", t.Version)
	return armed, a.look(ctx)
}

// disarm takes a release back that was written and not started.
func (a *Agent) disarm(ctx context.Context, release string) error {
	if a.cfg.Releases == nil {
		return errDirect
	}
	free, err := a.change(ctx)
	if err != nil {
		return err
	}
	defer free()
	if err := a.cfg.Releases.Disarm(ctx, release); err != nil {
		return err
	}
	return a.look(ctx)
}

// inDate reports whether the operator's certificate is in date by the clock of
// this machine, even if nobody has confirmed that. It is asked of what needs
// nothing but the certificate, and does more than look or restart: a release may
// be any program, and a task may let people in.
func inDate(r *http.Request) error {
	c := r.TLS.PeerCertificates[0] // TLS has verified it, perhaps but for its dates.
	if now := time.Now(); now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return problem.Permission.Errorf("this certificate is good from %v to %v, and the node's clock shows %v", c.NotBefore, c.NotAfter, now.UTC())
	}
	return nil
}

// serveRelease takes a release that an operator pushes.
func (a *Agent) serveRelease(w http.ResponseWriter, r *http.Request) error {
	if err := inDate(r); err != nil {
		return err
	}
	content, size, err := unpacked(r, &slowly{r.Body, http.NewResponseController(w)})
	if err != nil {
		return err
	}
	defer content.Close() // It says nothing.
	q := r.URL.Query()
	t := slots.Target{Version: q.Get("version"), SHA256: q.Get("sha256"), Size: size, Again: q.Get("again") == "1"}
	armed, err := a.receive(r.Context(), t, 0, content)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(armed)
}

// slowly reads a body that may take long, as long as something comes.
type slowly struct {
	body io.Reader
	rc   *http.ResponseController
}

func (s *slowly) Read(p []byte) (int, error) {
	if err := s.rc.SetReadDeadline(time.Now().Add(readFor)); err != nil {
		return 0, err
	}
	return s.body.Read(p)
}

// serveBack gives up the release that runs because an operator says so.
func (a *Agent) serveBack(life context.Context, w http.ResponseWriter, r *http.Request) error {
	if err := inDate(r); err != nil {
		return err
	}
	if a.cfg.Releases == nil {
		return errDirect
	}
	free, err := a.take(life)
	if err != nil {
		return err
	}
	defer free()
	if err := a.cfg.Releases.Condemn(life, "an operator gave it up"); err != nil {
		return problem.Invalid.Errorf("%w", err)
	}
	a.log.InfoContext(life, "an operator gives up the release", "release", a.cfg.Release)
	return a.restart(life, w)
}

// restart answers and restarts the machine.
func (a *Agent) restart(life context.Context, w http.ResponseWriter) error {
	w.WriteHeader(http.StatusAccepted)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return err
	}
	return a.parts.Supervisor.Reboot(life)
}
