package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"leap.example/services/daemon"
)

// A Node is one process of leapd, or the place for it. Its methods are called
// from one goroutine at a time.
type Node struct {
	Name string
	URL  string // Of its CouchDB API.
	Dir  string // Of its store.

	base     string // Directory of its other files.
	peerPort int
	program  string
	foul     string // The program for a machine that misbehaves.
	cmd      *exec.Cmd
	ended    chan struct{} // Closed when the process has.
	paused   bool
}

// startup is the patience with a node that starts, on a machine that does much
// else.
const startup = time.Minute

// errEnded means that a node's process has ended by itself.
var errEnded = errors.New("the process has ended")

func (n *Node) file(name string) string { return filepath.Join(n.base, name) }

// Config returns the path of its configuration.
func (n *Node) Config() string { return n.file("config.json") }
func (n *Node) log() string    { return n.file("log") }

// Launch starts the process. It does not wait for it to serve.
func (n *Node) Launch() error {
	return n.exec(n.program, "run", "bigcouch", "--config", n.Config())
}

func (n *Node) exec(program string, args ...string) error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stderr = []string{}, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting node %s: %w", n.Name, err)
	}
	ended := make(chan struct{})
	n.cmd, n.ended, n.paused = cmd, ended, false
	go func() {
		cmd.Wait() // How it ended is in ProcessState.
		close(ended)
	}()
	return nil
}

// Ready returns when the node serves requests.
func (n *Node) Ready(ctx context.Context) error {
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return Poll(ctx, "node "+n.Name+" serves", startup, func() error {
		if _, over := n.Status(); over {
			cancel(errEnded)
			return errEnded
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/_up", nil)
		if err != nil {
			return err
		}
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return errors.Join(err, resp.Body.Close())
	})
}

// Running reports whether the node has a process, be it paused.
func (n *Node) Running() bool {
	_, over := n.Status()
	return n.cmd != nil && !over
}

// Status returns how the last process ended; over is false while it has not.
// The status is -1 if a signal ended it.
func (n *Node) Status() (status int, over bool) {
	if n.cmd == nil {
		return 0, false
	}
	select {
	case <-n.ended:
		return n.cmd.ProcessState.ExitCode(), true
	default:
		return 0, false
	}
}

// Wait returns the status with which the process ends by itself.
func (n *Node) Wait(ctx context.Context, patience time.Duration) (int, error) {
	err := Poll(ctx, "the end of node "+n.Name, patience, func() error {
		if n.Running() {
			return errors.New("it runs")
		}
		return nil
	})
	status, _ := n.Status()
	return status, err
}

// Kill ends the process without a word of warning.
func (n *Node) Kill() {
	if n.cmd == nil {
		return
	}
	n.cmd.Process.Kill() // It may have ended by itself.
	<-n.ended
}

// Stop asks the process to end. An error says that it did not, and had to be
// killed, or ended with another status than it should.
func (n *Node) Stop(ctx context.Context) error {
	n.Resume()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping node %s: %w", n.Name, err)
	}
	status, err := n.Wait(ctx, 20*time.Second)
	n.Kill()
	if err == nil && status != daemon.ExitStopped {
		err = fmt.Errorf("node %s ended with status %d, not %d", n.Name, status, daemon.ExitStopped)
	}
	return err
}

// Dump ends the process with a trace of all it was doing in its log.
func (n *Node) Dump() {
	if !n.Running() {
		return
	}
	n.Resume()
	n.cmd.Process.Signal(syscall.SIGQUIT) // It may have ended by itself.
	select {
	case <-n.ended:
	case <-time.After(10 * time.Second):
	}
}

// Pause stops the process in its tracks: it keeps its connections and says
// nothing.
func (n *Node) Pause() { n.paused = n.Running() && n.cmd.Process.Signal(syscall.SIGSTOP) == nil }

// Resume lets a paused process go on.
func (n *Node) Resume() {
	if n.paused {
		n.cmd.Process.Signal(syscall.SIGCONT) // It may have been killed.
		n.paused = false
	}
}

// Receives reports whether another node is sending it all of a shard.
func (n *Node) Receives() (bool, error) {
	files, err := filepath.Glob(filepath.Join(n.Dir, "incoming-*"))
	return len(files) > 0, err
}

// Wipe removes the store of a node that does not run.
func (n *Node) Wipe() error { return os.RemoveAll(n.Dir) }

func (n *Node) tail(lines int) string {
	data, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
