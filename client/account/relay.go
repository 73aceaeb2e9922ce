package account

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"leap.example/client/mailstore/door"
	"leap.example/client/session"
	"leap.example/client/smtpd"
	"leap.example/services/protocol/problem"
)

func (a *Account) newSMTP(u *unlocked, key door.Key) (*smtpd.Server, error) {
	cfg := smtpd.Config{Key: key, EncryptedOnly: a.cfg.EncryptedOnly}
	return smtpd.New(cfg, u.store, u.mail, u.keys, relay{u}, u.log)
}

// relay hands messages to the provider's relay, wherever it is now. It is a
// smtpd.Relay.
type relay struct{ u *unlocked }

// Submit implements smtpd.Relay.
func (r relay) Submit(ctx context.Context, from string, to []string, msg []byte) error {
	l, err := r.u.connect(ctx)
	if err != nil {
		return err
	}
	addr, err := relayAddr(ctx, l)
	if err != nil {
		return err
	}
	via := smtpd.SMTPRelay{
		Addr: addr, Roots: r.u.provider.TLS().RootCAs, Dialer: r.u.provider.Dialer(),
		Certificate: func(ctx context.Context) (*tls.Certificate, error) {
			c, err := l.sess.SMTPCert(ctx)
			return &c, err
		},
		Refused: l.sess.DropSMTPCert, // The provider may have forgotten it: a password was changed.
	}
	return via.Submit(ctx, from, to, msg)
}

func relayAddr(ctx context.Context, l *link) (string, error) {
	h, err := l.sess.Hosts(ctx, "smtp", session.Daily)
	if err != nil {
		return "", fmt.Errorf("finding the relay: %w", err)
	}
	for _, host := range h.Hosts {
		return net.JoinHostPort(host.Hostname, fmt.Sprint(host.Port)), nil
	}
	return "", problem.NotExist.Errorf("the provider has no relay")
}
