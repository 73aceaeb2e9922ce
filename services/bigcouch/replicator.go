package bigcouch

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/services/bigcouch/replicate"
	"leap.example/services/bigcouch/store"
)

// How jobs are scheduled.
const (
	churn       = 20               // Jobs that make room for others at a time.
	mostBackoff = 15 * time.Minute // The longest pause after a failure.
	healthy     = 2 * time.Minute  // A run of this length ends a row of failures.
)

// A schedule is what differs in tests.
type schedule struct {
	slots   int           // Jobs that run at a time; others wait for their turn.
	turn    time.Duration // How long a continuous job runs while others wait.
	backoff time.Duration // The pause after a failure; twice as long after each further one.
}

var ordinary = schedule{32, time.Minute, 5 * time.Second}

var (
	errTurn    = errors.New("other replications wait")
	errStopped = &wireError{http.StatusServiceUnavailable, "service_unavailable", "The replication was cancelled"}
)

// A replicator runs the replications of a node: those that clients ask for, and
// those of the database _replicator.
type replicator struct {
	n     *node
	s     schedule
	slots chan struct{}
	inner *http.Transport // Reaches any address.
	outer *http.Transport // Reaches what users may reach.
	kick  chan struct{}   // Has room for one: _replicator may have been made.
	wg    sync.WaitGroup  // Of jobs.

	mu      sync.Mutex // Guards the rest, and what changes of jobs.
	closed  bool
	waiting int // Jobs without a slot.
	jobs    map[string]*job
	docs    map[string]*jobDoc // Documents of _replicator.
}

func newReplicator(n *node, s schedule) (*replicator, error) {
	r := &replicator{
		n: n, s: s, slots: make(chan struct{}, s.slots), kick: make(chan struct{}, 1),
		jobs: map[string]*job{}, docs: map[string]*jobDoc{},
	}
	network := replicate.Network{Resolver: n.cfg.Resolver, CAFile: n.cfg.ReplicationCAFile, Allowed: n.cfg.networks()}
	var err error
	if r.outer, err = network.Transport(); err != nil {
		return nil, err
	}
	network.Internal = true
	r.inner, err = network.Transport()
	return r, err
}

// run follows _replicator until ctx is done, and returns when all jobs have
// ended.
func (r *replicator) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { r.follow(ctx) })
	tick := time.NewTicker(r.s.turn)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			r.takeTurns()
		case <-ctx.Done():
		}
	}
	wg.Wait()
	r.mu.Lock()
	r.closed = true
	for _, j := range r.jobs {
		j.cancel(errStopped)
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.inner.CloseIdleConnections()
	r.outer.CloseIdleConnections()
}

// look makes the replicator look for its database at once.
func (r *replicator) look() {
	select {
	case r.kick <- struct{}{}:
	default: // It will look anyway.
	}
}

// start starts a job, unless there is one of its id, and returns the one that
// runs.
func (r *replicator) start(j *job) (*job, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	j.cancel, j.done, j.state = cancel, make(chan struct{}), "pending"
	j.note("added", "")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel(nil)
		return nil, errUnavailable
	}
	if old := r.jobs[j.id]; old != nil {
		cancel(nil)
		return old, nil
	}
	r.jobs[j.id] = j
	r.wg.Go(func() {
		defer cancel(nil)
		r.drive(ctx, j)
		r.mu.Lock()
		delete(r.jobs, j.id)
		r.mu.Unlock()
		close(j.done)
	})
	return j, nil
}

// job returns the job of an id; the words behind its plus may be missing.
func (r *replicator) job(id string) *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil {
		return j
	}
	for _, j := range r.jobs {
		if base, _, _ := strings.Cut(j.id, "+"); base == id {
			return j
		}
	}
	return nil
}

// takeTurns stops the continuous jobs that have run longest, if others wait.
func (r *replicator) takeTurns() {
	r.mu.Lock()
	defer r.mu.Unlock()
	var running []*job
	for _, j := range r.jobs {
		if j.state == "running" && j.req.Continuous && time.Since(j.began) >= r.s.turn {
			running = append(running, j)
		}
	}
	slices.SortFunc(running, func(a, b *job) int { return a.began.Compare(b.began) })
	for _, j := range running[:min(len(running), r.waiting, churn)] {
		j.yield(errTurn)
	}
}

// drive runs a job until it is complete, or stopped.
func (r *replicator) drive(ctx context.Context, j *job) {
	for {
		if !r.slot(ctx, j) {
			j.err = errStopped
			return
		}
		began := time.Now()
		result, err := r.once(ctx, j)
		<-r.slots
		switch {
		case ctx.Err() != nil:
			j.err = errStopped
			return
		case errors.Is(err, errTurn):
			continue
		case err == nil:
			r.completed(ctx, j, result)
			return
		}
		failures := r.crashed(j, err, time.Since(began) > healthy)
		if j.once {
			j.err = err
			return
		}
		t := time.NewTimer(replicate.Backoff(failures, r.s.backoff, mostBackoff))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			j.err = errStopped
			return
		}
	}
}

// slot waits for a turn.
func (r *replicator) slot(ctx context.Context, j *job) bool {
	r.mu.Lock()
	j.state = "pending"
	r.waiting++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.waiting--
		r.mu.Unlock()
	}()
	select {
	case r.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// once is one run of a job.
func (r *replicator) once(ctx context.Context, j *job) (*replicate.Result, error) {
	u, err := r.rights(j.user)
	if err != nil {
		return nil, err
	}
	outside := r.outer
	if u.admin || j.doc != "" && j.req.User == nil { // Nobody but a server administrator writes such a document.
		outside = r.inner
	}
	peer := func(e replicate.Endpoint) *replicate.Peer {
		if e.Name == "" {
			return e.Remote(outside)
		}
		return replicate.Local(e.Name, inProcess{r.n, u}, func(context.Context) (string, error) { return r.n.uuid(e.Name) })
	}
	run := &replicate.Replication{Request: j.req, Source: peer(j.req.Source), Target: peer(j.req.Target), User: j.user.Name}
	ctx, yield := context.WithCancelCause(ctx)
	defer yield(nil)
	r.mu.Lock()
	j.run, j.yield, j.began, j.state = run, yield, time.Now(), "running"
	j.note("started", "")
	r.mu.Unlock()
	result, err := run.Run(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.note("stopped", "")
	return result, err
}

// rights returns what a user may do now: never more than when the job was made,
// and what his account still has, if the node knows it.
func (r *replicator) rights(u user) (user, error) {
	if u.Name == "" {
		return u, nil
	}
	now, _, err := (&call{node: r.n}).fingerprintOf(u.Name)
	if errors.Is(err, errPassword) {
		return u, nil
	}
	if err != nil {
		return user{}, err
	}
	return user{
		Name: u.Name, admin: u.admin && now.admin,
		Roles: slices.DeleteFunc(slices.Clone(u.Roles), func(role string) bool { return !slices.Contains(now.Roles, role) }),
	}, nil
}

// uuid returns the incarnation of a database.
func (n *node) uuid(name string) (string, error) {
	v := n.store.View()
	defer v.Close()
	d, err := v.Database(name)
	if err == nil && (d == nil || d.State != store.Live) {
		err = store.ErrNoDatabase
	}
	if err != nil {
		return "", err
	}
	return d.UUID(), nil
}
