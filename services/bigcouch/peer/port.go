// Package peer is the links between the nodes of a database: one port on each
// node, mutual TLS 1.3 under a certificate authority of the database alone, and
// two protocols on it, told apart by ALPN: streams of raft groups ("leap-raft")
// and HTTP requests ("http/1.1").
//
// A node is known by its name, the only DNS name of its certificate. Who may
// connect is in the list of nodes: a certificate of the authority with another
// name is refused. Addresses are looked up in that list at each connection, so
// that they may change while names stay.
//
// A raft stream begins with two bytes, its shard, eight, the name of the history
// of its log, big-endian, one, the length of what follows, and the name of the
// store it is meant for, NODE@INCARNATION; the rest is the transport's of
// hashicorp/raft. A store refuses what is meant for another: a node that was
// wiped must not answer for what it was, whose votes it has forgotten. Two nodes
// that both have a history of a shard, but not the same one, do not speak of it:
// nodes that were given up for lost must not come back and overwrite what went
// on without them.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Protocols of the port.
const (
	protoRaft = "leap-raft"
	protoHTTP = "http/1.1"
)

// Deadlines of what comes before a protocol has its own.
const (
	dialTimeout  = 3 * time.Second
	helloTimeout = 5 * time.Second
	silence      = 5 * time.Second // Within what a raft stream says.
)

// A Port is the peer port of a node.
type Port struct {
	self  string
	addrs map[string]string // Of all nodes, by name.
	cert  tls.Certificate
	roots *x509.CertPool
	log   *slog.Logger
	http  *http.Transport

	mu      sync.Mutex // Guards what follows.
	streams map[uint16]*Streams
	closed  bool
}

// New returns the port of node self. addrs are the addresses of all nodes, by
// name; self is one of them.
func New(self string, addrs map[string]string, cert tls.Certificate, roots *x509.CertPool, log *slog.Logger) (*Port, error) {
	if addrs[self] == "" {
		return nil, fmt.Errorf("node %q is not in the list of nodes", self)
	}
	p := &Port{
		self: self, addrs: addrs, cert: cert, roots: roots, log: log,
		streams: map[uint16]*Streams{},
	}
	p.http = &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			node, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return p.dial(ctx, node, protoHTTP)
		},
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: 0, // Feeds may be silent; callers set deadlines.
	}
	return p, nil
}

// Transport sends HTTP requests to nodes: "https://NODE/path".
func (p *Port) Transport() http.RoundTripper { return p.http }

func (p *Port) tls() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{p.cert},
		RootCAs:      p.roots,
		ClientCAs:    p.roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}

// dial connects to a node for one protocol.
func (p *Port) dial(ctx context.Context, node, proto string) (net.Conn, error) {
	addr := p.addrs[node]
	if addr == "" {
		return nil, fmt.Errorf("peer %q is not in the list of nodes", node)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conf := p.tls()
	conf.ServerName, conf.NextProtos = node, []string{proto}
	t := tls.Client(c, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("peer %s: %w", node, err), c.Close())
	}
	return t, nil
}

// nameOf returns the node that a verified certificate belongs to.
func (p *Port) nameOf(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) == 0 || len(s.PeerCertificates[0].DNSNames) != 1 {
		return "", errors.New("the peer's certificate does not have one name")
	}
	name := s.PeerCertificates[0].DNSNames[0]
	if p.addrs[name] == "" {
		return "", fmt.Errorf("peer %q is not in the list of nodes", name)
	}
	return name, nil
}

// NodeOf returns which node sent a request that came in on the port.
func (p *Port) NodeOf(r *http.Request) (string, error) {
	if r.TLS == nil {
		return "", errors.New("not a request of a peer")
	}
	return p.nameOf(*r.TLS)
}

// Serve takes connections from ln until ctx is done, gives raft streams to their
// groups and requests to handler. It closes ln, and returns when all that it
// started has ended.
func (p *Port) Serve(ctx context.Context, ln net.Listener, handler http.Handler) error {
	requests := newQueue(ln.Addr())
	base, cut := context.WithCancel(ctx) // Closing a connection does not end a request whose body nobody reads.
	defer cut()
	var gate sync.RWMutex // Read-locked by requests; closing a server does not wait for them.
	gated := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gate.TryRLock() {
			defer gate.RUnlock()
			handler.ServeHTTP(w, r)
		}
	})
	server := &http.Server{
		Handler: gated, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog:    slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return base },
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(requests) }) // Ends with Close.
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		_ = requests.Close()
		_ = server.Close()
		p.close()
	})
	defer stop()
	var err error
	for {
		var c net.Conn
		if c, err = ln.Accept(); err != nil {
			break
		}
		wg.Go(func() { p.take(ctx, c, requests) })
	}
	ended := ctx.Err() != nil
	_ = ln.Close()
	_ = requests.Close()
	_ = server.Close()
	p.close()
	cut()
	wg.Wait()
	gate.Lock() // For good.
	p.http.CloseIdleConnections()
	if ended {
		return nil
	}
	return err
}

// close ends all raft streams.
func (p *Port) close() {
	p.mu.Lock()
	p.closed = true
	all := slices.Collect(maps.Values(p.streams))
	p.mu.Unlock()
	for _, s := range all {
		s.cut()
	}
}

// take shakes hands and hands the connection on.
func (p *Port) take(ctx context.Context, c net.Conn, requests *queue) {
	conf := p.tls()
	conf.NextProtos = []string{protoRaft, protoHTTP}
	t := tls.Server(c, conf)
	if err := p.hello(ctx, t, requests); err != nil {
		p.log.Debug("peer refused", "err", err)
		_ = c.Close()
	}
}

func (p *Port) hello(ctx context.Context, t *tls.Conn, requests *queue) error {
	if err := t.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	state := t.ConnectionState()
	if _, err := p.nameOf(state); err != nil {
		return err
	}
	var head [11]byte
	var target []byte
	if state.NegotiatedProtocol == protoRaft {
		if _, err := io.ReadFull(t, head[:]); err != nil {
			return err
		}
		target = make([]byte, head[10])
		if _, err := io.ReadFull(t, target); err != nil {
			return err
		}
	}
	if err := t.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if state.NegotiatedProtocol != protoRaft {
		return requests.put(t)
	}
	return p.stream(binary.BigEndian.Uint16(head[:]), binary.BigEndian.Uint64(head[2:]), string(target), t)
}

// stream gives a raft stream to its group.
func (p *Port) stream(shard uint16, history uint64, target string, t net.Conn) error {
	p.mu.Lock()
	s := p.streams[shard]
	if s == nil || p.closed {
		p.mu.Unlock()
		return fmt.Errorf("shard %d is not here", shard)
	}
	if target != s.self {
		p.mu.Unlock()
		return fmt.Errorf("shard %d: it is meant for %q", shard, target)
	}
	if own := s.history(); own != 0 && history != 0 && own != history {
		p.mu.Unlock()
		return fmt.Errorf("shard %d: the peer has another history", shard)
	}
	p.mu.Unlock()
	c, err := s.keep(&heard{Conn: t})
	if err != nil {
		return err
	}
	if err := s.queue.put(c); err != nil {
		return errors.Join(err, c.Close())
	}
	return nil
}
