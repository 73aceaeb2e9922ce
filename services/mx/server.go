package mx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/services/protocol/record"
)

// Queue is what mx needs from the users' databases.
type Queue interface {
	// AddIncoming appends an entry to the incoming queue of a user. When it
	// returns nil the entry survives a crash. One whose ID is already there is
	// not touched, and that is no error.
	AddIncoming(ctx context.Context, userID string, in record.Incoming) error
}

// Sizer is what a Queue may be as well: then Config.Quota holds.
type Sizer interface {
	// Size returns how many octets the database of a user takes; it is quick.
	Size(ctx context.Context, userID string) (int64, error)
}

// Server is one mail server.
type Server struct {
	cfg       settings
	queue     Queue
	directory *directory
	log       *slog.Logger
}

// grace is what messages that are under way are given when the server stops.
const grace = 5 * time.Second

// maxCommand is the longest line that the library reads. It bounds commands;
// lines of messages are bounded by maxLine.
const maxCommand = 12 << 10

// New returns a server that finds users in ids and appends to queue.
func New(cfg Config, ids Identities, queue Queue, log *slog.Logger) (*Server, error) {
	s, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	return &Server{s, queue, newDirectory(ids, s), log}, nil
}

// Run listens and serves until ctx is done.
func (s *Server) Run(ctx context.Context) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return err
	}
	return s.Serve(ctx, ln)
}

// Serve serves ln until ctx is done, then gives messages under way five
// seconds. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	in, err := s.newIntake(work)
	if err != nil {
		return err
	}
	g := newGate(ln, s.cfg)
	srv := smtp.NewServer(in)
	srv.Domain = s.cfg.Hostname
	srv.TLSConfig = in.tls
	srv.MaxRecipients = maxRecipients
	srv.MaxMessageBytes = s.cfg.MaxSize
	srv.MaxLineLength = maxCommand
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = quiet{s.log}

	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	err = srv.Serve(g)
	ln.Close()
	// No connection comes any more. Those at rest end now, the others after
	// their message, all after the grace.
	g.drain(false)
	late := time.AfterFunc(grace, func() {
		cancel()
		g.drain(true)
	})
	defer late.Stop()
	srv.Shutdown(context.WithoutCancel(ctx)) // Waits for the connections; closing ln again is no failure.
	g.drain(true)                            // Nothing begins beside the Wait.
	g.messages.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serving SMTP: %w", err)
}

// Check reports whether mail can be taken: the database answers, and the
// certificate is good for a day.
func (s *Server) Check(ctx context.Context) error {
	if s.cfg.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		if time.Until(cert.Leaf.NotAfter) < 24*time.Hour {
			return errors.New("certificate: less than a day left")
		}
	}
	return s.directory.check(ctx)
}

// quiet takes the library's log: it names peers, and what happens to
// connections is nothing unusual.
type quiet struct{ log *slog.Logger }

// Printf implements smtp.Logger.
func (q quiet) Printf(format string, v ...any) {
	q.log.Debug("smtp", "text", fmt.Sprintf(format, v...))
}

// Println implements smtp.Logger.
func (q quiet) Println(v ...any) { q.log.Debug("smtp", "text", fmt.Sprint(v...)) }
