package session

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
)

// smtpCert is the certificate for submission and its key.
type smtpCert struct {
	pair       tls.Certificate
	start, end time.Time
}

// fresh reports whether at least a third of the life is left.
func (c smtpCert) fresh(now time.Time) bool { return c.end.Sub(now) >= c.end.Sub(c.start)/3 }

// SMTPCert returns the client certificate by which the relay knows the
// account. It is kept in memory and renewed when less than a third of its life
// is left; while a renewal fails, the old one is returned as long as it is
// valid.
func (s *Session) SMTPCert(ctx context.Context) (tls.Certificate, error) {
	s.mu.Lock()
	have := s.smtp
	s.mu.Unlock()
	now := s.p.opt.now()
	if have.fresh(now) {
		return have.pair, nil
	}
	next, err := s.newSMTPCert(ctx)
	if err != nil {
		if now.Before(have.end) {
			return have.pair, nil
		}
		return tls.Certificate{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.smtp = next
	return next.pair, nil
}

// DropSMTPCert forgets the certificate for submission, so that the next
// SMTPCert fetches a new one: the relay has refused it. The provider revokes
// certificates when the password is changed on another device.
func (s *Session) DropSMTPCert() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.smtp = smtpCert{}
}

func (s *Session) newSMTPCert(ctx context.Context) (c smtpCert, err error) {
	err = s.withToken(ctx, func(token string) error {
		r, err := do(ctx, s.p.hc, call{method: http.MethodPost, url: s.p.api("/1/smtp_cert"), token: token})
		if err != nil {
			return err
		}
		key, pem, err := certs.SplitPEM(r.body)
		if err != nil {
			return err
		}
		if c.pair, err = tls.X509KeyPair(pem, key); err != nil {
			return problem.Invalid.Errorf("malformed certificate: %w", err)
		}
		if a, ok := certs.AddressOf(c.pair.Leaf); !ok || a != string(s.Address()) {
			return problem.Invalid.Errorf("the certificate is for another address")
		}
		return nil
	})
	if err == nil {
		c.start, c.end = c.pair.Leaf.NotBefore, c.pair.Leaf.NotAfter
	}
	return c, err
}
