package dns

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"
)

const (
	readers      = 4   // Goroutines that read UDP, per listener.
	publicRate   = 200 // UDP answers per second and client.
	resolverRate = 1000
)

// Server is the name service of one node: one or both roles.
type Server struct {
	cfg       Config
	log       *slog.Logger
	public    *role
	resolver  *role
	res       *resolver
	listeners atomic.Int32 // Open and served.
}

// New returns a server for cfg. It opens nothing.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	zs, err := newZones(cfg.Zones)
	if err != nil {
		return nil, err
	}
	r, err := newResolver(cfg.Resolver, zs, log)
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg,
		log: log,
		res: r,
		public: &role{
			readers: readers,
			quick: func(q query) *dns.Msg {
				reply := q.reply()
				zs.authoritative(reply)
				return reply
			},
			admit: func(netip.Addr) bool { return true },
			group: networkOf,
			limit: newLimiter(cmp.Or(cfg.Authoritative.Rate, publicRate), networkOf),
		},
		resolver: &role{
			readers: readers, quick: r.quick, ask: r.answer, admit: r.admit, group: hostOf,
			limit: newLimiter(cmp.Or(cfg.Resolver.Rate, resolverRate), hostOf),
			busy:  newShare(maxBusy, maxBusyEach),
		},
	}, nil
}

// Run opens every listener of the configured roles and serves them until ctx
// is done.
func (s *Server) Run(ctx context.Context) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(r *role, addresses []string) {
		for _, address := range addresses {
			wg.Go(func() {
				if err := s.listen(ctx, r, address); err != nil {
					cancel(fmt.Errorf("%s: %w", address, err))
				}
			})
		}
	}
	start(s.public, s.cfg.Authoritative.Listen)
	start(s.resolver, s.cfg.Resolver.Listen)
	wg.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func (s *Server) listen(ctx context.Context, r *role, address string) error {
	var lc net.ListenConfig
	if r == s.resolver {
		lc.Control = freebind
	}
	pc, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		pc.Close()
		return err
	}
	return s.serve(ctx, r, pc.(*net.UDPConn), ln)
}

// ServeAuthoritative serves the public role on pc and ln until ctx is done. It
// closes them.
func (s *Server) ServeAuthoritative(ctx context.Context, pc *net.UDPConn, ln net.Listener) error {
	return s.serve(ctx, s.public, pc, ln)
}

// ServeResolver serves the resolver role on pc and ln until ctx is done. It
// closes them.
func (s *Server) ServeResolver(ctx context.Context, pc *net.UDPConn, ln net.Listener) error {
	return s.serve(ctx, s.resolver, pc, ln)
}

func (s *Server) serve(ctx context.Context, r *role, pc *net.UDPConn, ln net.Listener) error {
	s.listeners.Add(1)
	defer func() {
		if s.listeners.Add(-1) == 0 {
			s.res.upstreams.Close() // Nobody is left who asks.
		}
	}()
	s.log.InfoContext(ctx, "serving DNS", "listen", pc.LocalAddr().String())
	return r.serve(ctx, pc, ln)
}

// Check returns an error unless every configured listener is served.
func (s *Server) Check(context.Context) error {
	want := len(s.cfg.Authoritative.Listen) + len(s.cfg.Resolver.Listen)
	if got := int(s.listeners.Load()); got < want {
		return fmt.Errorf("%d of %d listeners are open", got, want)
	}
	return nil
}
