package supervise

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// children are the processes that this process has started, and it waits for
// those and for all that it inherits.
type children struct {
	mu   sync.Mutex // Guards what follows; held while a process is started, so that its end is not seen before it is known.
	live map[int]*child
}

// A child is a process that was started.
type child struct {
	of    *children
	pid   int
	ended chan struct{} // Closed when it has ended.
	how   syscall.WaitStatus
}

// start starts a process that writes to out, as leader of a group of its own.
func (cs *children) start(c Command, out *os.File) (*child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	sys := c.Sys
	sys.Setpgid = true
	cs.mu.Lock()
	defer cs.mu.Unlock()
	pid, err := syscall.ForkExec(c.Path, c.Args, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Sys: &sys,
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
	})
	if err != nil {
		return nil, &os.PathError{Op: "start", Path: c.Path, Err: err}
	}
	p := &child{of: cs, pid: pid, ended: make(chan struct{})}
	cs.live[pid] = p
	return p, nil
}

// signal sends sig to the group of a process that has not been waited for.
func (p *child) signal(sig syscall.Signal) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.of.live[p.pid] == p {
		_ = syscall.Kill(-p.pid, sig) // It may have ended just now.
	}
}

// wait waits for processes until ctx is done.
func (cs *children) wait(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		for cs.reap() {
		}
		select {
		case <-ctx.Done():
			return
		case <-died:
		}
	}
}

// reap waits for one process that has ended, if there is one.
func (cs *children) reap() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	var ws syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if p := cs.live[pid]; p != nil {
		delete(cs.live, pid)
		_ = syscall.Kill(-pid, syscall.SIGKILL) // What is left of its group, if anything.
		p.how = ws
		close(p.ended)
	}
	return true
}
