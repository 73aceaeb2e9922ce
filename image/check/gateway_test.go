package check_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/services/protocol/lease"
	public "leap.example/services/protocol/provider"
)

// leaseAPI is that of a gateway, which asks for certificates as auth says, and
// answers so.
func (w *world) leaseAPI(auth tls.ClientAuthType, answer string) func(net.Conn) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.i.Files["ca/client_ca.crt"])
	pair := w.certificate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+lease.PathStatus, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, answer)
	})
	return func(conn net.Conn) {
		w.over(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, ClientAuth: auth, ClientCAs: roots}), mux)
	}
}

// TestGateway is the lease API, as users and strangers meet it.
func TestGateway(t *testing.T) {
	const answer = `{"load":3,"peers_bucket":16}`
	w := newWorld(t, ",gateway")
	w.want(w.run(nil), map[string]string{"gateway.tls": "192.0.2.11:1194: port 1194: connection refused"})
	w.ports[443] = w.leaseAPI(tls.RequireAndVerifyClientCert, answer)
	w.want(w.run(nil), map[string]string{"gateway.tls": "192.0.2.11:1194: port 1194: connection refused"})
	w.ports[1194] = w.ports[443]
	found := w.run(nil)
	w.want(found, map[string]string{"gateway.tls": "ok", "gateway.strangers": "ok", "gateway.users": "ok"})
	if text := found["gateway.users"].Text; text != "it admits users; its load is 3 of 7" {
		t.Error(text)
	}
	if _, there := found["dns.tcp"]; there {
		t.Error("the resolver of a gateway is taken for a name server")
	}
	for _, text := range []string{answer, "nonsense"} {
		w.ports[443] = w.leaseAPI(tls.NoClientCert, text)
		w.want(w.run(nil), map[string]string{"gateway.strangers": "it answers those who have no certificate, with status 200"})
	}
	w.ports[443] = w.leaseAPI(tls.RequireAndVerifyClientCert, answer)
	w.member = func(string) (tls.Certificate, error) {
		return tls.Certificate{}, errors.New("the secrets are not for you")
	}
	w.want(w.run(nil), map[string]string{"gateway.users": "warn the secrets are not for you"})
	w.member = nil
	if _, there := w.run(nil)["gateway.users"]; there {
		t.Error("without a certificate a gateway was asked to admit somebody")
	}
}

// TestGatewayList is what clients are told.
func TestGatewayList(t *testing.T) {
	w := newWorld(t, ",webapp")
	for name, text := range map[string]string{
		"gw1": `{"ip_address": "192.0.2.21", "mesh": {"address": "10.99.0.21"}, "services": "gateway"}`,
		"gw2": `{"ip_address": "192.0.2.22", "mesh": {"address": "10.99.0.22"}, "services": "gateway", "vpn": {"private": true}}`,
	} {
		ok(t, provider.Write(w.i.Dir, "nodes/"+name+".json", []byte(text), 0o644))
	}
	zones := w.i.Zones
	var err error
	w.i, err = provider.Open(w.i.Dir)
	ok(t, err)
	w.i.Zones = zones
	list := compile.Gateways(w.i, "")
	all := list
	list = list.Only(func(g public.Gateway) bool { return !g.Private })
	mux := pages(t, w)
	var told any
	mux.HandleFunc("GET "+public.PathGateways, func(rw http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(rw).Encode(told) })
	w.ports[4430] = w.https(w.certificate(), mux)
	for _, tt := range []struct {
		name string
		told func() any
		want string
	}{
		{"sick", func() any { return list }, "clients are told that these gateways are not healthy: gw1"},
		{"good", func() any { list.Gateways[0].Healthy = true; return list }, "ok"},
		{"private", func() any { return all }, "everybody is shown the private gateway gw2"},
		{"missing", func() any { return public.GatewayList{} }, "clients are not told of the gateway gw1"},
		{"nonsense", func() any { return 7 }, "malformed list of gateways"},
	} {
		t.Run(tt.name, func(*testing.T) {
			told = tt.told()
			w.want(w.run(nil), map[string]string{"api.gateways": tt.want})
		})
	}
}
