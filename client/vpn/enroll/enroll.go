package enroll

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"leap.example/client/vpn/machine"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
)

const (
	connectTimeout = 8 * time.Second  // Of TCP and TLS to one address.
	timeout        = 20 * time.Second // Of one exchange.
)

// Config is how gateways are reached. All of it is required but Classical.
type Config struct {
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) // Beside the tunnel.
	CA   []byte                                                                           // The provider's, PEM.
	// Classical accepts gateways without post-quantum key exchange.
	Classical bool
}

// A Grant is a lease with the key of its tunnel.
type Grant struct {
	Gateway machine.Gateway `json:"gateway"`
	Key     lease.Key       `json:"key"`    // The client's private one.
	Remote  netip.Addr      `json:"remote"` // By which the gateway was reached.
	Lease   lease.Lease     `json:"lease"`
}

// A Client asks for leases with one certificate. It is safe for concurrent use.
type Client struct {
	cfg   Config
	cert  tls.Certificate
	roots *x509.CertPool

	mu   sync.Mutex // Guards what follows.
	name string     // The gateway that conn is for.
	conn *http.Client
}

// New returns a Client. Invalid: the CA is malformed.
func New(cfg Config, cert tls.Certificate) (*Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, problem.Invalid.Errorf(`the provider's CA is malformed: fetch it again with "leapc provider add"`)
	}
	return &Client{cfg: cfg, cert: cert, roots: roots}, nil
}

// Close drops the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.CloseIdleConnections()
	}
}

// Lease asks a gateway for a new lease, with a new key. Errors are *Error.
func (c *Client) Lease(ctx context.Context, g machine.Gateway) (Grant, error) {
	var key lease.Key
	rand.Read(key[:]) // It never fails.
	return c.ask(ctx, http.MethodPost, lease.PathLease, Grant{Gateway: g, Key: key})
}

// Renew prolongs a lease; its pre-shared key changes. Errors are *Error; their
// Fault is machine.Gone when the gateway does not know the lease any more.
func (c *Client) Renew(ctx context.Context, g Grant) (Grant, error) {
	return c.ask(ctx, http.MethodPut, g.Lease.LeaseID.Path(), g)
}

// End gives a lease back.
func (c *Client) End(ctx context.Context, g Grant) error {
	_, _, err := c.exchange(ctx, g.Gateway, http.MethodDelete, g.Lease.LeaseID.Path(), nil)
	return err
}

func (c *Client) ask(ctx context.Context, method, path string, g Grant) (Grant, error) {
	body, err := json.Marshal(lease.Request{WGPublicKey: g.Key.Public(), Want: lease.Want{IPv6: true, Transport: lease.UDP}})
	if err != nil {
		return Grant{}, err
	}
	reply, remote, err := c.exchange(ctx, g.Gateway, method, path, body)
	if err != nil {
		return Grant{}, err
	}
	if g.Lease, err = lease.ParseLease(reply); err != nil {
		return Grant{}, &Error{machine.Unwilling, "the gateway's answer is malformed: try another one with \"leapc vpn use\"", err}
	}
	if !g.Lease.PQ && !c.cfg.Classical {
		return Grant{}, errClassical()
	}
	if remote.IsValid() {
		g.Remote = remote
	}
	return g, nil
}

// exchange makes one request and returns the body of its answer and the
// address by which the gateway was reached.
func (c *Client) exchange(ctx context.Context, g machine.Gateway, method, path string, body []byte) ([]byte, netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var remote netip.Addr
	ctx = traceRemote(ctx, &remote)
	req, err := http.NewRequestWithContext(ctx, method, "https://"+g.Name+path, bytes.NewReader(body))
	if err != nil {
		return nil, remote, &Error{machine.Forbidden, "the gateway has no proper name", err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.to(g).Do(req)
	if err != nil {
		return nil, remote, transportError(err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, lease.MaxReply+1))
	if err != nil {
		return nil, remote, transportError(err)
	}
	if resp.StatusCode >= 300 {
		return nil, remote, refusal(resp.StatusCode, reply)
	}
	return reply, remote, nil
}

// to returns the connection to g: the one that is kept, or a new one.
func (c *Client) to(g machine.Gateway) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.name == g.Name {
		return c.conn
	}
	if c.conn != nil {
		c.conn.CloseIdleConnections()
	}
	c.name = g.Name
	c.conn = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialTLSContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return c.connect(ctx, g) },
			MaxConnsPerHost: 1,
		},
	}
	return c.conn
}
