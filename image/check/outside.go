package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leap.example/appliance/node"
)

const maxBody = 1 << 20 // Bytes of a page that are read.

// ports tries all ports of TCP that the document opens: public ones answer, those
// of the mesh do not.
func (c *checker) ports(ctx context.Context) {
	if c.Document == nil {
		return
	}
	public, of := map[uint16]bool{}, map[uint16]string{}
	for name, s := range c.Document.Services {
		for _, l := range s.Listeners {
			// A gateway has addresses of its own, and is looked at apart.
			if l.Protocol == "tcp" && l.From != "tunnel" && name != "gateway" {
				public[l.Port] = public[l.Port] || l.From == "public"
				of[l.Port] = name
			}
		}
	}
	all := slices.Sorted(maps.Keys(public))
	wrong := make([]Result, len(all))
	var wg sync.WaitGroup
	for k, port := range all {
		wg.Go(func() {
			patience := dialFor
			if !public[port] {
				patience = closedFor
			}
			conn, err := c.dial(ctx, port, patience)
			if err == nil {
				_ = conn.Close() // It was only to be opened.
			}
			switch {
			case public[port] && err != nil:
				wrong[k] = Result{Text: fmt.Sprintf("port %d of %s does not answer: %v", port, of[port], err), Next: "does a firewall stand in front of it? leap compile firewall"}
			case !public[port] && err == nil:
				wrong[k] = Result{Text: fmt.Sprintf("port %d of %s answers, and is for the mesh alone", port, of[port]), Next: "leap logs -s agent " + c.Node.Name}
			}
		})
	}
	wg.Wait()
	bad := false
	for _, r := range wrong {
		if r.Text != "" {
			bad = true
			c.add("ports", node.CheckFail, r.Text, r.Next)
		}
	}
	if !bad {
		c.good("ports", fmt.Sprintf("%d answer or are closed, as they should", len(all)))
	}
}

// own is the provider's own authority.
func (c *checker) own() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.Instance.Files["ca/ca.crt"]) {
		return nil, errors.New("files/ca/ca.crt is missing: leap cert ca")
	}
	return pool, nil
}

// handshake talks TLS over a connection, as a client that knows roots (nil: the
// world's) and wants the server to be name. It returns when the chain ends.
func (c *checker) handshake(ctx context.Context, conn net.Conn, name string, roots *x509.CertPool) (*tls.Conn, time.Time, error) {
	over := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12, Time: func() time.Time { return c.Now }})
	if err := over.HandshakeContext(ctx); err != nil {
		return nil, time.Time{}, errors.Join(err, conn.Close())
	}
	end := over.ConnectionState().PeerCertificates[0].NotAfter
	for _, cert := range over.ConnectionState().VerifiedChains[0] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return over, end, nil
}

// ends judges when a chain of certificates ends.
func (c *checker) ends(check, name string, end time.Time) {
	text := fmt.Sprintf("%s, good until %s", name, end.Format(time.DateOnly))
	if c.Now.Add(soon).After(end) {
		c.add(check, node.CheckWarn, text, "leap cert update "+c.Node.Name+" && leap deploy "+c.Node.Name)
		return
	}
	c.good(check, text)
}

// A site is a port of the node that speaks HTTPS.
type site struct {
	name string
	port uint16
	http *http.Client
}

// site meets such a port, and judges its certificate as the finding check.tls. It
// reports whether there is such a site.
func (c *checker) site(ctx context.Context, check, service, name string, port uint16, roots *x509.CertPool) (*site, bool) {
	conn, err := c.dial(ctx, port, dialFor)
	var end time.Time
	if err == nil {
		var over *tls.Conn
		if over, end, err = c.handshake(ctx, conn, name, roots); err == nil {
			_ = over.Close() // What follows has its own.
		}
	}
	if err != nil {
		c.add(check+".tls", node.CheckFail, fmt.Sprintf("%s: %v", name, err), c.logs(service))
		return nil, false
	}
	c.ends(check+".tls", name, end)
	return c.newSite(name, port, roots), true
}

func (c *checker) newSite(name string, port uint16, roots *x509.CertPool) *site {
	return &site{name, port, &http.Client{
		Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, port, dialFor) },
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends a request with what is usual, and returns status and body.
func (s *site) do(ctx context.Context, method, path, body string, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://%s:%d%s", s.name, s.port, path), strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	maps.Copy(req.Header, header)
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode, text, err
}

// get returns a page that has to be there with the status.
func (s *site) get(ctx context.Context, path string, want int) ([]byte, error) {
	status, text, err := s.do(ctx, http.MethodGet, path, "", nil)
	if err == nil && status != want {
		err = fmt.Errorf("https://%s:%d%s answers with status %d instead of %d", s.name, s.port, path, status, want)
	}
	return text, err
}
