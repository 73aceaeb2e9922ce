package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"leap.example/appliance/node"
)

// handshake is how the next operator is met: with what the current document
// says.
func (a *Agent) handshake() (*tls.Config, error) {
	d, _ := a.now()
	own, err := a.certificate(d)
	if err != nil {
		return nil, err
	}
	ca := d.Agent.OperatorCA
	if ca == "" {
		ca = a.cfg.Identity.Agent.OperatorCA
	}
	operators := x509.NewCertPool()
	if !operators.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("no authority of operators")
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: operators,
		// Tickets would let an operator in by a certificate that has expired, or
		// whose authority is gone.
		SessionTicketsDisabled: true,
	}
	if !a.parts.ClockState().Known {
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyConnection = func(s tls.ConnectionState) error { return timeless(s.PeerCertificates, operators) }
	}
	return c, nil
}

// timeless verifies an operator's certificate but for its dates: a node whose
// clock is wrong, and who learns the time from nobody, would otherwise never be
// reached again. A certificate alone does little: documents are signed.
func timeless(chain []*x509.Certificate, operators *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("an operator's certificate is required")
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: operators, CurrentTime: chain[0].NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// certificate is the agent's own, which a document may renew: the key stays.
func (a *Agent) certificate(d node.Document) (tls.Certificate, error) {
	id := a.cfg.Identity
	text := d.Agent.Certificate
	if text == "" {
		text = id.Certificate
	}
	pair, err := tls.X509KeyPair([]byte(text), []byte(id.Key))
	if err != nil {
		return pair, fmt.Errorf("the agent's certificate is none of the key that this node was born with: %w", err)
	}
	return pair, pair.Leaf.VerifyHostname(node.ServerName(id.Node, id.Provider))
}

// certificates are when those of a document end.
func (a *Agent) certificates(d node.Document) map[string]time.Time {
	all := map[string]time.Time{}
	if own, err := a.certificate(d); err == nil {
		all["agent"] = own.Leaf.NotAfter
	}
	add := func(name, text string) {
		for rest := []byte(text); ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				return
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				continue // It is the service's to complain.
			}
			if end, ok := all[name]; !ok || c.NotAfter.Before(end) {
				all[name] = c.NotAfter
			}
		}
	}
	add("operators", d.Agent.OperatorCA)
	for service, s := range d.Services {
		for file, text := range s.Files {
			add(service+"/"+file, text)
		}
	}
	return all
}
