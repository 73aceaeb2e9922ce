package supervise

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"leap.example/appliance/node"
)

// A keeper keeps one service as it is ordered: running or stopped.
type keeper struct {
	s    *Supervisor
	name string

	order  sync.Mutex // Held while an order is carried out; guards wanted, end and ended.
	wanted bool
	end    context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex // Guards what follows.
	ordered bool       // It was started and not stopped.
	now     node.ServiceStatus
}

func (k *keeper) status() (now node.ServiceStatus, ordered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now, k.ordered
}

// runs reports whether the loop goes on. The caller holds the order.
func (k *keeper) runs() bool {
	if !k.wanted {
		return false
	}
	select {
	case <-k.ended:
		return false
	default:
		return true
	}
}

func (k *keeper) change(f func(*node.ServiceStatus)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.now)
}

// begin starts the loop of a service that does not run.
func (k *keeper) begin() error {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.closed {
		return ErrClosed
	}
	k.mu.Lock()
	k.now, k.ordered = node.ServiceStatus{}, true
	k.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	k.wanted, k.end, k.ended = true, cancel, make(chan struct{})
	ended := k.ended
	k.s.tasks.Go(func() {
		defer close(ended)
		defer cancel()
		k.loop(ctx)
	})
	return nil
}

// stop stops the service, with less grace when ctx ends before that is over.
func (k *keeper) stop(ctx context.Context) {
	k.order.Lock()
	defer k.order.Unlock()
	k.halt(ctx)
}

// halt is stop for whoever holds the order.
func (k *keeper) halt(ctx context.Context) {
	if !k.wanted {
		return
	}
	k.end()
	select {
	case <-k.ended:
	case <-ctx.Done():
		k.kill()
		<-k.ended
	}
	k.wanted = false
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ordered = false
}

// kill ends the process at once.
func (k *keeper) kill() {
	cs := &k.s.children
	now, _ := k.status()
	cs.mu.Lock()
	p := cs.live[now.PID]
	cs.mu.Unlock()
	if p != nil {
		p.signal(syscall.SIGKILL)
	}
}

// loop runs the process again and again until ctx is done or it makes no sense.
func (k *keeper) loop(ctx context.Context) {
	log := k.s.cfg.Log.With("service", k.name)
	var h history
	for starts := 0; ; starts++ {
		begin := time.Now()
		k.change(func(s *node.ServiceStatus) { s.Since, s.Restarts = begin.UTC(), starts })
		how, stay := k.run(ctx)
		if ctx.Err() != nil {
			log.Info("stopped", "how", how)
			return
		}
		delay := h.ended(time.Since(begin))
		text := h.complaint(how)
		k.change(func(s *node.ServiceStatus) { s.Running, s.PID, s.Error = false, 0, text })
		if stay {
			log.Error("ended for good", "how", how)
			return
		}
		log.Error("ended", "how", how, "in_a_row", h.ends, "next_start_in", delay)
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
	}
}

// run runs the process once and says how it ended, and whether that was for good.
func (k *keeper) run(ctx context.Context) (how string, stay bool) {
	c, err := k.s.cfg.Command(k.name)
	if err != nil {
		return err.Error(), false
	}
	from, to, err := os.Pipe()
	if err != nil {
		return err.Error(), false
	}
	p, err := k.s.children.start(c, to)
	to.Close()
	if err != nil {
		from.Close()
		return err.Error(), false
	}
	k.change(func(s *node.ServiceStatus) { s.Running, s.PID = true, p.pid })
	var reading sync.WaitGroup
	reading.Go(func() { k.s.cfg.Logs.copy(k.name, from) })
	k.await(ctx, p)
	// Whoever else has inherited the pipe must not keep us.
	_ = from.SetReadDeadline(time.Now().Add(time.Second)) // A pipe has deadlines.
	reading.Wait()
	from.Close()
	return ending(p.how), p.how.Exited() && p.how.ExitStatus() == exitStay && !c.Always
}

// await returns when a process has ended. When ctx is done it asks it to end,
// and after the grace makes it end.
func (k *keeper) await(ctx context.Context, p *child) {
	select {
	case <-p.ended:
		return
	case <-ctx.Done():
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(k.s.cfg.Grace):
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}
