package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/client/keymanager"
	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
	"leap.example/client/soledad"
	"leap.example/services/protocol/nick"
)

const (
	maxMessage     = 25 << 20 // Bytes as written; encrypted and armored it is under 35 MiB, what relays take.
	maxRecipients  = 100
	maxConnections = 32
	maxInWork      = 4 // Messages that are read or protected at once.
)

// Config is the settings of the server.
type Config struct {
	Key     door.Key       // Required: what mail programs must show. Its address is the account's.
	Aliases []nick.Address // Further addresses that the account may write from.

	// EncryptedOnly refuses messages to recipients without a key. Otherwise
	// they are sent in clear, signed.
	EncryptedOnly bool
}

// Keys is what the server needs of client/keymanager. Find returns
// problem.NotExist if an address has no key.
type Keys interface {
	Own(ctx context.Context) (*keymanager.OwnKey, error)
	Find(ctx context.Context, addr nick.Address) (nick.Key, nick.Level, error)
	Sign(ctx context.Context, data []byte) (armored []byte, hash string, err error)
	EncryptSign(ctx context.Context, data []byte, to []nick.Key) (armored []byte, err error)
}

// A Server takes, protects and delivers the messages of one account.
type Server struct {
	cfg   Config
	docs  *soledad.Store
	mail  *mailstore.Store
	keys  Keys
	relay Relay
	log   *slog.Logger

	inWork chan struct{} // A token for each message in work.
	wake   chan struct{} // Run has something to do.

	testOnlyPause      func(attempts int) time.Duration // Nil: the real one.
	testOnlyDeliveries int                              // Zero: maxDeliveries.
}

// New returns a server. It touches neither network nor disk.
func New(cfg Config, docs *soledad.Store, mail *mailstore.Store, keys Keys, relay Relay, log *slog.Logger) (*Server, error) {
	if cfg.Key.Address == "" || cfg.Key.Password == "" {
		return nil, errors.New("the SMTP server needs an address and a password")
	}
	return &Server{
		cfg: cfg, docs: docs, mail: mail, keys: keys, relay: relay, log: log,
		inWork: make(chan struct{}, maxInWork), wake: make(chan struct{}, 1),
	}, nil
}

// Serve serves ln, which is on loopback, until ctx is done. It closes ln, cuts
// the connections, and returns when all sessions have ended: nil if ctx was
// done.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := door.Wrap(ln, maxConnections)
	var wg sync.WaitGroup // Messages in work.
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{server: s, ctx: ctx, wg: &wg}, nil
	}))
	server.Domain = "localhost"
	server.AllowInsecureAuth = true // Loopback.
	server.MaxMessageBytes = maxMessage
	server.MaxRecipients = maxRecipients
	server.MaxLineLength = 128 << 10 // Encrypted it is folded; RFC 5322's limit is for transport.
	server.ReadTimeout, server.WriteTimeout = 5*time.Minute, time.Minute
	server.ErrorLog = logger{s.log}
	stop := context.AfterFunc(ctx, func() {
		l.Close() // The only error is that it is closed.
	})
	defer stop()
	err := server.Serve(l)
	done := ctx.Err() != nil
	cancel()
	l.Close()
	l.Wait()
	wg.Wait()
	if done {
		return nil
	}
	return fmt.Errorf("serving SMTP: %w", err)
}

// A logger takes the lines of the SMTP library.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("smtp", "event", fmt.Sprintf(format, args...))
}

func (l logger) Println(args ...any) { l.log.Debug("smtp", "event", fmt.Sprint(args...)) }

// own reports whether the account may write from an address.
func (s *Server) own(a nick.Address) bool {
	for _, mine := range append([]nick.Address{s.cfg.Key.Address}, s.cfg.Aliases...) {
		if a == mine || a.Base() == mine {
			return true
		}
	}
	return false
}
