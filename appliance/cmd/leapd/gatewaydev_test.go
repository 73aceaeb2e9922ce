package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"leap.example/appliance/dev"
	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/provider"
)

// TestGatewayInDev goes a client's way to the VPN: a certificate without an
// account, the list of gateways, and a lease of the one that is healthy.
func TestGatewayInDev(t *testing.T) {
	p := newProvider(t)
	stop := runDev(t, p)
	defer stop()
	pem, err := os.ReadFile(p.Path("ca", "ca.crt"))
	check(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trust := &tls.Config{RootCAs: roots, ServerName: "api." + p.Domain}
	api := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	defer api.CloseIdleConnections()
	var pair tls.Certificate
	until(t, "a certificate is in the pool", func() error {
		body, err := fetch(api, http.MethodPost, "https://"+p.Addr(dev.PortAPI)+"/3/cert", nil)
		if err != nil {
			return err
		}
		key, cert, err := certs.SplitPEM(body)
		if err != nil {
			return err
		}
		pair, err = tls.X509KeyPair(cert, key)
		return err
	})
	var g provider.Gateway
	until(t, "the gateway is healthy", func() error {
		body, err := fetch(api, http.MethodGet, "https://"+p.Addr(dev.PortAPI)+provider.PathGateways+"?tz=0", nil)
		if err != nil {
			return err
		}
		l, err := provider.ParseGateways(body)
		if err != nil || len(l.Gateways) != 1 || !l.Gateways[0].Healthy {
			return fmt.Errorf("the gateways are %+v, %w", l, err)
		}
		g = l.Gateways[0]
		return nil
	})
	gateway := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, ServerName: g.Host, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
	}}}
	defer gateway.CloseIdleConnections()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	check(t, err)
	request, err := json.Marshal(lease.Request{WGPublicKey: lease.Key(key.PublicKey().Bytes())})
	check(t, err)
	at := net.JoinHostPort(g.Addresses[0].String(), fmt.Sprint(g.LeasePorts[0]))
	body, err := fetch(gateway, http.MethodPost, "https://"+at+lease.PathLease, request)
	check(t, err)
	l, err := lease.ParseLease(body)
	check(t, err)
	if !l.PQ || l.Plan != lease.Unlimited || l.Endpoints[0].Ports[0] != g.Transports[0].Ports[0] {
		t.Error("the lease is not what the list promises")
	}
}

// fetch asks, and returns the body of an answer with status 200.
func fetch(c *http.Client, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return text, err
}
