package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/dev"
	"leap.example/services/daemon"
)

// Status asks for the health of all services. Its error says what is not
// healthy.
func (l *Provider) Status(ctx context.Context) (map[string]daemon.Status, error) {
	at, err := dev.ReadEndpoints(l.Dir)
	if err != nil {
		return nil, err
	}
	l.At = at
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.Health+"/", nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var status map[string]daemon.Status
	if err := json.Unmarshal(body, &status); err != nil {
		return nil, fmt.Errorf("health: %s", body)
	}
	if resp.StatusCode != http.StatusOK {
		return status, fmt.Errorf("health: %s", body)
	}
	return status, nil
}

// TLS returns a configuration that trusts one CA alone.
func TLS(t testing.TB, caFile string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", caFile)
	}
	return &tls.Config{RootCAs: roots}
}

// HTTP returns a client that trusts the provider's CA alone and finds every
// name on loopback. Its connections come from the address from.
func (l *Provider) HTTP(t testing.TB, from string) *http.Client {
	t.Helper()
	d := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	tr := &http.Transport{TLSClientConfig: TLS(t, l.At.CAFile), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// A Database is the HTTP API of a database node, with administrator rights.
type Database struct {
	url, password string
	hc            *http.Client
}

// OpenDatabase opens the database at a URL until the test ends.
func OpenDatabase(t testing.TB, url, passwordFile string) *Database {
	t.Helper()
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	return &Database{url, strings.TrimSpace(string(password)), &http.Client{Transport: tr}}
}

// Do makes a request: in is sent as JSON, the answer is decoded into out,
// unless they are nil.
func (d *Database) Do(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, body)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth("admin", d.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || out == nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, json.Unmarshal(data, out)
}
