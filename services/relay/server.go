package relay

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/services/relay/route"
)

const (
	// grace is what messages and attempts under way are given when the server
	// stops.
	grace = 5 * time.Second
	// maxCommand is the longest line that the library reads. It bounds
	// commands; lines of messages are bounded by maxLine.
	maxCommand = 12 << 10
	// stuck is how long a row may be due before Check says that the queue does
	// not move.
	stuck = 30 * time.Minute
)

// Server is one relay.
type Server struct {
	cfg   settings
	desk  desk
	queue Outbound
	log   *slog.Logger
}

// New returns a relay for the users in ids and tokens, whose mail waits in
// queue.
func New(cfg Config, ids Identities, tokens Tokens, queue Outbound, log *slog.Logger) (*Server, error) {
	s, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	return &Server{s, desk{ids, tokens}, queue, log}, nil
}

// Run listens, serves and delivers until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var lns [2]net.Listener
	for i, address := range []string{s.cfg.ListenTLS, s.cfg.ListenSTARTTLS} {
		if address == "" {
			continue
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return errors.Join(err, closeAll(lns[:i]))
		}
		lns[i] = ln
	}
	return s.Serve(ctx, lns[0], lns[1])
}

// Serve serves the listeners, of which one may be nil, and delivers, until ctx
// is done. It closes the listeners.
func (s *Server) Serve(ctx context.Context, implicit, starttls net.Listener) error {
	lns := []net.Listener{implicit, starttls}
	defer closeAll(lns)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	c, err := s.newCourier()
	if err != nil {
		return err
	}
	in, err := s.newIntake(work, c.vault, c.dkim, c.kick)
	if err != nil {
		return err
	}
	srv := in.server()
	g := newGate(s.cfg)
	parent := ctx
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var doors, end sync.WaitGroup
	for i, ln := range lns {
		if ln == nil {
			continue
		}
		d := door{Listener: ln, gate: g}
		if i == 0 {
			d.tls = in.tls
		}
		doors.Go(func() { fail(fmt.Errorf("serving SMTP: %w", srv.Serve(d))) })
	}
	end.Go(func() {
		<-ctx.Done()
		closeAll(lns)
		g.drain(false)
		sleep(work, grace)
		stopWork()
		g.drain(true)
	})
	c.run(ctx, work)
	doors.Wait()
	srv.Shutdown(context.WithoutCancel(ctx)) // Waits for the connections; closing listeners again is no failure.
	g.drain(true)                            // Nothing begins beside the Wait.
	g.messages.Wait()
	stopWork()
	end.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func (s *Server) newCourier() (*courier, error) {
	c := &courier{
		Server: s, owner: s.cfg.Hostname + "/" + rand.Text(), wake: make(chan struct{}, 1), busy: map[string]int{}, held: map[string]bool{},
		routes: route.New(s.cfg.Resolver, s.cfg.Hostname, s.cfg.AllowPrivate),
	}
	var err error
	if c.vault, err = readVault(s.cfg.QueueKeyFile); err != nil {
		return nil, err
	}
	if c.dkim, err = readDKIM(s.cfg.DKIM); err != nil {
		return nil, err
	}
	c.hops, err = s.readHops()
	return c, err
}

// server returns the SMTP library's server.
func (in *intake) server() *smtp.Server {
	srv := smtp.NewServer(in)
	srv.Domain = in.cfg.Hostname
	srv.TLSConfig = in.tls
	srv.MaxRecipients = in.cfg.Recipients
	srv.MaxMessageBytes = in.cfg.MaxSize
	srv.MaxLineLength = maxCommand
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = quiet{in.log}
	return srv
}

// closeAll closes the listeners that are there.
func closeAll(lns []net.Listener) error {
	var errs []error
	for _, ln := range lns {
		if ln != nil {
			errs = append(errs, ln.Close())
		}
	}
	return errors.Join(errs...)
}

// Check reports whether mail can be taken and moves: the database answers, no
// row is long overdue, the certificate is good for a day.
func (s *Server) Check(ctx context.Context) error {
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if time.Until(cert.Leaf.NotAfter) < 24*time.Hour {
		return errors.New("certificate: less than a day left")
	}
	rows, err := s.queue.Due(ctx, time.Now(), 1)
	if err != nil {
		return fmt.Errorf("outbound queue: %w", err)
	}
	if len(rows) > 0 && time.Since(rows[0].NextAttempt) > stuck && time.Since(rows[0].LeaseUntil) > stuck {
		return errors.New("outbound queue: mail has been due for half an hour")
	}
	return nil
}

// quiet takes the library's log: it names clients, and what happens to
// connections is nothing unusual.
type quiet struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (q quiet) Printf(format string, v ...any) {
	q.log.Debug("smtp", "text", fmt.Sprintf(format, v...))
}

// Println implements smtp.Logger.
func (q quiet) Println(v ...any) { q.log.Debug("smtp", "text", fmt.Sprint(v...)) }
