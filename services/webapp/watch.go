package webapp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/provider"
)

const (
	pollEvery  = 30 * time.Second
	pollFor    = 5 * time.Second // One address of a gateway.
	pollAtOnce = 16              // Gateways.
	showFor    = time.Minute     // Before the end of the certificate that is shown.
)

// A watch knows how the gateways are: it asks each of them again and again.
// They are asked by everybody's way in, at their public addresses, so that
// what nobody can reach does not count as healthy, and with a certificate out of
// the pool, as anybody shows. The answer says nothing about who uses them.
type watch struct {
	roots *x509.CertPool
	shown *tls.Certificate // Of follow alone. Nil: none was taken yet.

	mu    *sync.Mutex       // Guards what follows.
	state map[string]health // By name.
}

// health is what a gateway said last. The zero value: nothing yet.
type health struct {
	asked, ok bool
	load      int
}

// newWatch returns a watch that believes those whom the provider's CA signed.
func newWatch(ca []byte) (watch, error) {
	w := watch{roots: x509.NewCertPool(), mu: new(sync.Mutex), state: make(map[string]health)}
	if !w.roots.AppendCertsFromPEM(ca) {
		return w, errors.New("not a certificate")
	}
	return w, nil
}

// tell writes into g what is known of it.
func (w *watch) tell(g *provider.Gateway) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.state[g.Name]
	g.Healthy, g.Load = h.ok, h.load
}

// follow asks all gateways, every so often, until ctx is done; sooner for a while
// when one does not answer, as when all have just been started. While there is no
// certificate to show, what was known of them stays.
func (g *gateways) follow(ctx context.Context, every time.Duration, pool Certificates, log *slog.Logger) {
	soon, quiet := every/32, false
	for {
		wait, err := every, g.renew(ctx, pool)
		if err != nil || !g.ask(ctx, log) {
			wait, soon = soon, min(2*soon, every)
		} else {
			soon = every / 32
		}
		if err != nil && !quiet && ctx.Err() == nil {
			log.Warn("there is no certificate to ask the gateways with", "err", err)
		}
		quiet = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// renew takes a certificate out of the pool when there is none that is valid for
// a while.
func (g *gateways) renew(ctx context.Context, pool Certificates) error {
	if g.shown != nil && time.Until(g.shown.Leaf.NotAfter) > showFor {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	c, err := take(ctx, pool, "")
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	if err != nil {
		return fmt.Errorf("a certificate of the pool: %w", err)
	}
	g.shown = &pair
	return nil
}

// ask asks all gateways once, and reports whether all are healthy. It returns in
// bounded time.
func (g *gateways) ask(ctx context.Context, log *slog.Logger) bool {
	turn := make(chan struct{}, pollAtOnce)
	var wg sync.WaitGroup
	var sick atomic.Bool
	for _, one := range g.list.Gateways {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			s, err := g.status(ctx, one)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				sick.Store(true)
			}
			now := health{asked: true, ok: err == nil, load: s.Load}
			g.mu.Lock()
			before := g.state[one.Name]
			g.state[one.Name] = now
			g.mu.Unlock()
			switch {
			case err != nil && (before.ok || !before.asked):
				log.Warn("a gateway does not answer: clients are told to use others", "gateway", one.Name, "err", err)
			case err == nil && !before.ok && before.asked:
				log.Info("a gateway answers again", "gateway", one.Name)
			}
		})
	}
	wg.Wait()
	return !sick.Load()
}

// status asks a gateway at one address after the other how busy it is.
func (g *gateways) status(ctx context.Context, one provider.Gateway) (s lease.Status, err error) {
	for _, a := range one.Addresses {
		var this error
		if s, this = g.statusAt(ctx, one.Host, netip.AddrPortFrom(a, one.LeasePorts[0])); this == nil {
			return s, nil
		}
		err = errors.Join(err, this)
	}
	return lease.Status{}, err
}

func (g *gateways) statusAt(ctx context.Context, host string, at netip.AddrPort) (lease.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, at.String())
			},
			TLSClientConfig: &tls.Config{
				RootCAs: g.roots, ServerName: host, MinVersion: tls.VersionTLS13,
				// Whichever CA is asked for: a gateway of another one refuses it, and so us.
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return g.shown, nil },
			},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+lease.PathStatus, nil)
	if err != nil {
		return lease.Status{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return lease.Status{}, err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	if resp.StatusCode != http.StatusOK {
		return lease.Status{}, fmt.Errorf("%v: status %d", at, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, lease.MaxReply+1))
	if err != nil {
		return lease.Status{}, err
	}
	return lease.ParseStatus(text)
}
