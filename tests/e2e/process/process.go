package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"leap.example/appliance/dev"
	"leap.example/tests/stage"
)

// A Program is the binary of leapd. It is built when it is first needed; the
// zero Program is ready. TestMain calls Remove.
type Program struct {
	once sync.Once
	dir  string
	err  error
}

// Path builds the binary, with the settings of "make", so that the build cache
// serves both, and returns its path.
func (p *Program) Path(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "leapd-"); p.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", p.dir+"/", "leap.example/appliance/cmd/leapd")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			p.err = fmt.Errorf("building leapd: %w\n%s", err, out)
		}
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return filepath.Join(p.dir, "leapd")
}

// Remove removes the binary.
func (p *Program) Remove() error {
	if p.dir == "" {
		return nil
	}
	return os.RemoveAll(p.dir)
}

// A Provider is one "leapd dev" with its files.
type Provider struct {
	Dir string        // Of its files.
	At  dev.Endpoints // Where it listens. The same after each start.

	bin, log string
	base     int
	cmd      *exec.Cmd
	ended    chan struct{} // Closed when the process has.
}

// startup is the patience with a provider that starts, on a machine that does
// much else.
const startup = 90 * time.Second

// New makes a provider under a directory of the test and starts it, until the
// test ends.
func (p *Program) New(t testing.TB) *Provider {
	t.Helper()
	dir := t.TempDir()
	l := &Provider{Dir: filepath.Join(dir, "dev"), bin: p.Path(t), log: filepath.Join(dir, "leapd.log")}
	for try := 1; ; try++ {
		var err error
		if l.base, err = stage.FreeBase(); err != nil {
			t.Fatal(err)
		}
		if err = l.start(); err == nil {
			break
		}
		if try == 3 || !errors.Is(err, errEnded) { // Ended: another program may have taken a port.
			t.Fatalf("%v\n%s", err, l.Log(t))
		}
	}
	t.Cleanup(l.Kill)
	return l
}

// Start starts the provider again after Kill, and returns when every service
// is healthy.
func (l *Provider) Start(t testing.TB) {
	t.Helper()
	if err := l.start(); err != nil {
		t.Fatalf("%v\n%s", err, l.Log(t))
	}
}

// errEnded means that the process has ended by itself.
var errEnded = errors.New("leapd has ended")

func (l *Provider) start() error {
	if err := l.launch(); err != nil {
		return err
	}
	for deadline := time.Now().Add(startup); ; {
		err := l.Healthy()
		if err == nil {
			return nil
		}
		select {
		case <-l.ended:
			return errEnded
		case <-time.After(20 * time.Millisecond): // Between polls only.
		}
		if time.Now().After(deadline) {
			l.Kill()
			return fmt.Errorf("leapd is not healthy after %v: %w", startup, err)
		}
	}
}

// launch starts the process.
func (l *Provider) launch() error {
	log, err := os.OpenFile(l.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	l.cmd = exec.Command(l.bin, "dev", "--dir", l.Dir, "--base-port", strconv.Itoa(l.base))
	l.cmd.Env, l.cmd.Stderr = []string{}, log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		return err
	}
	cmd, ended := l.cmd, make(chan struct{})
	l.ended = ended
	go func() {
		cmd.Wait() // How it ended is in its log.
		close(ended)
	}()
	return nil
}

// Flicker starts the process and kills it soon, perhaps before it is ready.
func (l *Provider) Flicker(t testing.TB, after time.Duration) {
	t.Helper()
	if err := l.launch(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	l.Kill()
}

// Kill ends the process without a word of warning.
func (l *Provider) Kill() {
	if l.ended == nil {
		return
	}
	l.cmd.Process.Kill() // It may be dead already.
	<-l.ended
}

// Log returns what all processes of the provider have logged.
func (l *Provider) Log(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(l.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Memory returns the resident memory of the process, and the most that it ever
// had, in bytes.
func (l *Provider) Memory() (now, peak int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case name == "VmRSS" && err == nil:
			now = kib << 10
		case name == "VmHWM" && err == nil:
			peak = kib << 10
		}
	}
	return now, peak, nil
}

// Healthy returns what is not healthy.
func (l *Provider) Healthy() error {
	_, err := l.Status(context.Background())
	return err
}
