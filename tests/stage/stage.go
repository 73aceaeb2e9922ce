// Package stage is what tests of whole processes stand on: it builds the
// programs, starts "leapd dev" on free ports of loopback, and stops, kills and
// starts it again.
package stage

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"leap.example/appliance/dev"
)

// Build builds programs ("leapd", "leapc") into dir, with the settings of
// "make", so that one build cache serves all.
func Build(dir string, programs ...string) error {
	argv := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		area := "client"
		if p == "leapd" {
			area = "appliance"
		}
		argv = append(argv, "leap.example/"+area+"/cmd/"+p)
	}
	cmd := exec.Command("go", argv...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %v: %w\n%s", programs, err, out)
	}
	return nil
}

// ports is how many ports from its base a provider may use.
const ports = 100

// FreeBase returns the first of a range of ports that is free now, below those
// that the kernel gives to outgoing connections.
func FreeBase() (int, error) {
next:
	for range 200 {
		base := 10000 + ports*rand.IntN(220)
		for port := base; port < base+ports; port++ {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue next
			}
			ln.Close()
		}
		return base, nil
	}
	return 0, fmt.Errorf("no range of %d free TCP ports on loopback", ports)
}

// A Provider is "leapd dev" as a process. It is for one goroutine.
type Provider struct {
	At dev.Endpoints

	bin, dir string
	base     int
	cmd      *exec.Cmd
	done     chan struct{} // Closed when the process has ended.
	err      error         // How; read after done.
}

// Start starts a new provider under dir with the program leapd at bin, and
// waits until all of its services are well.
func Start(bin, dir string) (*Provider, error) {
	base, err := FreeBase()
	if err != nil {
		return nil, err
	}
	p := &Provider{bin: bin, dir: dir, base: base}
	return p, p.Start()
}

// Start starts the provider again, on the same ports, after Stop or Kill. Its
// logs are in Log.
func (p *Provider) Start() error {
	log, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd = exec.Command(p.bin, "dev", "--dir", p.dir, "--base-port", fmt.Sprint(p.base))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	for deadline := time.Now().Add(90 * time.Second); ; {
		err := p.healthy()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("leapd dev ended: %v (see %s)", p.err, p.Log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.Kill()
			return fmt.Errorf("leapd dev is not well: %w (see %s)", err, p.Log())
		}
	}
}

// Log returns the path of the provider's logs, beside its directory.
func (p *Provider) Log() string { return p.dir + ".log" }

func (p *Provider) healthy() (err error) {
	if p.At, err = dev.ReadEndpoints(p.dir); err != nil {
		return err
	}
	hc := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := hc.Get("http://" + p.At.Health + "/")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", body)
	}
	return err
}

// Stop asks the provider to end and waits for it. The error says that it did
// not end well.
func (p *Provider) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(30 * time.Second):
		p.Kill()
		return errors.New("leapd dev did not end within 30 s")
	}
}

// Kill ends the provider without a word of warning.
func (p *Provider) Kill() {
	p.cmd.Process.Kill() // It may have ended by itself.
	<-p.done
}
