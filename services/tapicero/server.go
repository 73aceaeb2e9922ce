package tapicero

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// Users is what tapicero reads of the users database.
type Users interface {
	// ByID returns the user, or a problem.NotExist error.
	ByID(ctx context.Context, id string) (*record.User, error)
	// IDs returns the ids of all users; a list that could not be read to its
	// end is an error.
	IDs(ctx context.Context) ([]string, error)
	// Follow calls f for each change after the sequence since ("": from the
	// beginning), in order and one at a time, until ctx is done, f returns an
	// error, or the feed fails.
	Follow(ctx context.Context, since string, f func(id string, deleted bool, seq string) error) error
}

// UserDBs makes and destroys the databases of users. All methods may be
// repeated.
type UserDBs interface {
	Create(ctx context.Context, userID string) error // And secures it.
	Destroy(ctx context.Context, userID string) error
	IDs(ctx context.Context) ([]string, error)
	// Check secures an existing database again; problem.NotExist if there is
	// none.
	Check(ctx context.Context, userID string) error
}

// State keeps small notes durably.
type State interface {
	// Get returns the value last set, or "" or a problem.NotExist error.
	Get(ctx context.Context, key string) (string, error)
	Set(ctx context.Context, key, value string) error
}

const (
	opTimeout  = 30 * time.Second // For the work on one database.
	minBackoff = time.Second
	maxBackoff = time.Minute
	settled    = 3 * time.Second // A feed that lives this long works.
	setUp      = time.Minute     // For the databases to be made, on a new provider.
)

// Server is one tapicero.
type Server struct {
	users      Users
	dbs        UserDBs
	state      State
	grace      time.Duration
	checkEvery time.Duration
	log        *slog.Logger
	started    time.Time

	checking sync.Mutex // Held by CheckAll; guards orphans. Taken before work.
	orphans  orphans
	work     sync.Mutex // Held while one database is made or destroyed. Taken before mu.
	wake     chan struct{}

	mu        sync.Mutex       // Guards what follows.
	todo      map[string]*task // What is not done yet, by user id.
	loaded    bool             // The stored sequence was read.
	seen      string           // Sequence of the latest change taken up.
	stored    string           // Sequence in state.
	saveErr   error
	following time.Time // When the feed began; zero: it is down.
	feedErr   error     // Why it was down last.
	checked   bool      // CheckAll has ended once.
	checkErr  error     // Why the latest CheckAll failed.
}

// New returns a tapicero that gives each of users a database in dbs. It does
// nothing until Run or CheckAll.
func New(cfg Config, users Users, dbs UserDBs, state State, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		users: users,
		dbs:   dbs,
		state: state,
		log:   log,

		started: time.Now(),
		wake:    make(chan struct{}, 1),
		todo:    make(map[string]*task),
	}
	s.grace, _ = duration("grace", cfg.Grace, defaultGrace) // Validated above.
	s.checkEvery, _ = duration("check_every", cfg.CheckEvery, defaultCheckEvery)
	return s, nil
}

// Run works until ctx is done. It does not end because the database is away.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.follow(ctx) })
	wg.Go(func() { s.retry(ctx) })
	wg.Go(func() { s.compare(ctx) })
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	s.save(last)
	return nil
}

// failed logs that some work failed and when it is tried again. That there is
// no database yet is the usual case while a new provider starts.
func (s *Server) failed(work string, err error, wait time.Duration) {
	missing := errors.Is(err, problem.NotExist) || errors.Is(err, problem.Unavailable)
	if missing && time.Since(s.started) < setUp {
		s.log.Info("not set up yet", "work", work, "err", err, "retry_in", wait)
		return
	}
	s.log.Warn(work+" failed", "err", err, "retry_in", wait)
}

// Check reports whether the databases are what the users need: the feed of
// changes is up, no change waits to be carried out, the latest comparison of
// all databases succeeded.
func (s *Server) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := !s.following.IsZero()
	if young := time.Since(s.following) < settled; s.feedErr != nil && (!up || young) {
		return fmt.Errorf("following the users: %w", s.feedErr)
	}
	for _, t := range s.todo {
		return fmt.Errorf("%d user databases wait, one because: %w", len(s.todo), t.err)
	}
	if s.saveErr != nil {
		return fmt.Errorf("storing the sequence: %w", s.saveErr)
	}
	if s.checkErr != nil {
		return fmt.Errorf("comparing databases with users: %w", s.checkErr)
	}
	if !up || !s.checked {
		return problem.Unavailable.Errorf("starting")
	}
	return nil
}

// settle makes the database of one user what it must be. deleted says that the
// feed reported the user's deletion.
func (s *Server) settle(ctx context.Context, id string, deleted bool) error {
	s.work.Lock()
	defer s.work.Unlock()
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	_, err := s.users.ByID(ctx, id)
	switch gone := errors.Is(err, problem.NotExist); {
	case err != nil && !gone:
		return fmt.Errorf("looking for the user: %w", err)
	case gone && deleted:
		return s.dbs.Destroy(ctx, id)
	case gone:
		return nil // The deletion follows in the feed.
	case deleted:
		return errors.New("the user was deleted, but is still found")
	}
	return s.dbs.Create(ctx, id)
}

// validID reports whether id can be that of a user: 32 lower-case hex digits.
// Design documents of the users database are not.
func validID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == 32
}
