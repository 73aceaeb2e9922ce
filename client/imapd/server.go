package imapd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"golang.org/x/sync/semaphore"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/door"
)

// Config is the settings of the server.
type Config struct {
	Key door.Key // Required: what mail programs must show.

	MaxConnections int   // At once. Zero: 64.
	MaxMemory      int64 // Of messages in flight together, bytes. Zero: 128 MiB, and never less than one message.
}

// A Server serves the mailboxes of one account.
type Server struct {
	cfg   Config
	mail  *mailstore.Store
	log   *slog.Logger
	room  *semaphore.Weighted // Bytes of messages in memory.
	cache cache
}

// New returns a server. It touches neither network nor disk.
func New(cfg Config, mail *mailstore.Store, log *slog.Logger) (*Server, error) {
	if cfg.Key.Address == "" || cfg.Key.Password == "" {
		return nil, errors.New("the IMAP server needs an address and a password")
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 64
	}
	if cfg.MaxMemory == 0 {
		cfg.MaxMemory = 128 << 20
	}
	cfg.MaxMemory = max(cfg.MaxMemory, mailstore.MaxMessage)
	return &Server{cfg: cfg, mail: mail, log: log, room: semaphore.NewWeighted(cfg.MaxMemory)}, nil
}

var capabilities = imap.CapSet{
	imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}, imap.CapNamespace: {}, imap.CapUIDPlus: {}, imap.CapESearch: {},
	imap.CapSearchRes: {}, imap.CapListExtended: {}, imap.CapListStatus: {}, imap.CapMove: {}, imap.CapStatusSize: {},
	imap.CapChildren: {}, imap.CapSpecialUse: {}, imap.CapBinary: {},
}

// Serve serves ln, which is on loopback, until ctx is done. It closes ln, cuts
// the connections, and returns when all sessions have ended: nil if ctx was
// done.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := door.Wrap(ln, s.cfg.MaxConnections)
	var wg sync.WaitGroup // Idle and other goroutines of sessions.
	server := imapserver.New(&imapserver.Options{
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &session{server: s, conn: c, ctx: ctx, wg: &wg}, nil, nil
		},
		Caps:         capabilities,
		InsecureAuth: true, // Loopback.
		Logger:       logger{s.log},
	})
	stop := context.AfterFunc(ctx, func() {
		l.Close() // The only error is that it is closed.
	})
	defer stop()
	err := server.Serve(l)
	cancel()
	l.Close()
	l.Wait()
	wg.Wait()
	if err != nil {
		return fmt.Errorf("serving IMAP: %w", err)
	}
	return nil
}

// A logger takes the lines of the IMAP library. They can name mailboxes and
// addresses: so they are for debugging, except panics, of which only the fact
// is told.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("panic in an IMAP session")
	}
	l.log.Debug("imap", "event", fmt.Sprintf(format, args...))
}

// A cache holds the message that was read last in pieces.
type cache struct {
	mu  sync.Mutex // Guards what follows.
	key cacheKey
	raw []byte
}

type cacheKey struct {
	box string
	uid uint32
}

func (c *cache) get(key cacheKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != key {
		return nil
	}
	return c.raw
}

func (c *cache) put(key cacheKey, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key, c.raw = key, raw
}
