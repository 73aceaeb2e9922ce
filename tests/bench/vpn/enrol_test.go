package vpn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/services/gateway"
	"leap.example/services/gateway/gatewaytest"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
)

// atOnce is how many clients enrol at a time.
const atOnce = 4

// sceneEnrol has clients with a certificate each rent at the gateway, by
// connections and full handshakes of their own, and counts the gateway's
// processor time: of the lease server alone, and with the peers of WireGuard that
// netstack makes in the same process. By turns they ask a server that does nothing
// but shake hands and return what it got.
func sceneEnrol(t testing.TB, report reporter) {
	w := newWorld(t)
	many := func(c *gateway.Config) { c.Leases = *rounds }
	g, alone := w.gateway("gateway", many), w.gateway("lease", many)
	at := netip.AddrPortFrom(api.Addr(), apiPort+2)
	p := w.pki
	echo := w.start(nil, w.role("echo", "echo", echoAbout{at, p.file(certFile), p.file(keyFile), p.file(clientCAFile)}))
	echo.until("ready")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.servers)
	clients := make([]enroller, *enrolments)
	for i := range clients {
		clients[i] = newEnroller(w, roots)
	}
	turn := func(p *process, at netip.AddrPort) float64 {
		begun := p.cpu()
		var all errgroup.Group
		all.SetLimit(atOnce)
		for _, c := range clients {
			all.Go(func() error { return c.enrol(at) })
		}
		w.must(all.Wait())
		return float64(len(clients)) / max(p.cpu()-begun, 0.01)
	}
	var ours, peers, bare []float64
	for range *rounds {
		ours = append(ours, turn(alone.process, alone.api))
		bare = append(bare, turn(echo, at))
		peers = append(peers, turn(g.process, g.api))
	}
	t.Logf("leases a core-second: %.0f; with WireGuard's peers: %.0f; answers of the bare server: %.0f", ours, peers, bare)
	report(median(ours), "leases/cpu-s")
	report(median(peers), "peers/cpu-s")
	report(median(bare), "echo/cpu-s")
	report(ratio(median(ours), median(bare)), "x-echo")
}

// An enroller is a client with a certificate of its own.
type enroller struct{ conf *tls.Config }

func newEnroller(w *world, roots *x509.CertPool) enroller {
	key, cert, err := certs.SplitPEM(w.pki.user(lease.Unlimited))
	w.must(err)
	pair, err := tls.X509KeyPair(cert, key)
	w.must(err)
	return enroller{&tls.Config{
		RootCAs: roots, ServerName: gatewayName, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}, NextProtos: []string{"http/1.1"},
	}}
}

// enrol rents, by a new connection and with a new key.
func (e enroller) enrol(at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	raw, err := (&tls.Dialer{Config: e.conf}).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	c := raw.(*tls.Conn)
	defer c.Close()
	if s := c.ConnectionState(); s.CurveID != tls.X25519MLKEM768 || s.DidResume {
		return errors.New("that was no full handshake with X25519MLKEM768")
	}
	body, err := json.Marshal(lease.Request{WGPublicKey: gatewaytest.NewKey().Public(), Want: lease.Want{IPv6: true, Transport: lease.UDP}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+gatewayName+lease.PathLease, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	if err := req.Write(c); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("refused with %d: %s", resp.StatusCode, got)
	}
	return err
}

// echoAbout is what the bare server is told.
type echoAbout struct {
	At                              netip.AddrPort
	CertFile, KeyFile, ClientCAFile string
}

// echoRole serves until it is told to end.
func echoRole() error {
	var a echoAbout
	if err := about(&a); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(a.ClientCAFile)
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem)
	ln, err := net.Listen("tcp", a.At.String())
	if err != nil {
		return err
	}
	srv := &http.Server{
		ReadTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
			CurvePreferences: []tls.CurveID{tls.X25519MLKEM768},
		},
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(io.LimitReader(r.Body, lease.MaxReply))
			if err == nil {
				_, _ = rw.Write(body) // Who has gone has gone.
			}
		}),
	}
	end := told()
	go func() { <-end; srv.Close() }()
	ready()
	if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
