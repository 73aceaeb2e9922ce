package webapp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/lease"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/record"
)

const (
	rsaBits      = 2048
	signTimeout  = 20 * time.Second // For the CA's answer.
	maxSMTPCerts = 50               // Valid ones of one address.
	maxTakes     = 20               // Of expired entries in the pool.
)

// cert hands out an anonymous VPN certificate: POST /1/cert. Nothing is
// remembered of it.
func (s *site) cert(r *request) (any, error) {
	if r.caller.user == nil {
		if !s.provider.Service.AllowAnonymous {
			return nil, problem.Unauthenticated
		}
		if err := r.limit(s.limits.certNetwork, r.network()); err != nil {
			return nil, err
		}
	} else if err := r.limit(s.limits.certAccount, r.caller.user.ID); err != nil {
		return nil, err
	}
	c, err := take(r.Context(), s.st.Certificates, s.planOf(r.caller.user))
	if err != nil {
		return nil, err
	}
	return plain(c.Key + c.Cert), nil
}

// planOf is the plan of who asks for a VPN certificate: nil is somebody without an
// account (leap-protocols.md 3.2).
func (s *site) planOf(u *record.User) lease.Plan {
	o := s.provider.Service
	slow := u == nil || s.level(u.ServiceLevel).Bandwidth == "limited"
	if o.AllowLimitedBandwidth && (slow || !o.AllowUnlimitedBandwidth) {
		return lease.Limited
	}
	return lease.Unlimited
}

// take takes a certificate that is valid for a while out of the pool;
// Unavailable if there is none.
func take(ctx context.Context, pool Certificates, plan lease.Plan) (record.Certificate, error) {
	for range maxTakes {
		c, err := pool.Take(ctx, plan)
		if err != nil {
			return record.Certificate{}, err
		}
		if time.Until(c.ValidUntil) > time.Minute {
			return c, nil
		}
	}
	return record.Certificate{}, problem.Unavailable.Errorf("Please try again later.")
}

// smtpCert makes a key and has the CA sign a certificate of the user's
// address: POST /1/smtp_cert. Its fingerprint is remembered, because by it
// relay decides who may send.
func (s *site) smtpCert(r *request) (any, error) {
	ctx, user := r.Context(), r.caller.user
	if !offersMail(s.level(user.ServiceLevel)) {
		return nil, problem.Permission
	}
	if err := r.limit(s.limits.certAccount, user.ID); err != nil {
		return nil, err
	}
	key, err := s.newKey(ctx)
	if err != nil {
		return nil, err
	}
	cert, err := s.requestSMTP(ctx, string(s.address(user.Login)), key)
	if err != nil {
		return nil, err
	}
	err = s.changeIdentity(ctx, s.address(user.Login), user.ID, func(id *record.Identity) error {
		return addFingerprint(id, cert, time.Now())
	})
	if err != nil {
		return nil, err
	}
	return plain(certs.JoinPEM(key, cert.Raw)), nil
}

// offersMail reports whether a level includes mail. A level that names no
// services has all of the provider's.
func offersMail(l provider.Level) bool {
	return len(l.Services) == 0 || slices.Contains(l.Services, "email") || slices.Contains(l.Services, "mx")
}

// newKey makes an RSA key, one at a time: it costs about a tenth of a second
// of a processor.
func (s *site) newKey(ctx context.Context) (*rsa.PrivateKey, error) {
	select {
	case s.rsa <- struct{}{}:
		defer func() { <-s.rsa }()
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// requestSMTP has the CA sign, and checks what it signed.
func (s *site) requestSMTP(ctx context.Context, address string, key *rsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	text, err := s.st.Certificates.RequestSMTP(ctx, record.CertRequest{
		ID:        newID(),
		Type:      "CertRequest",
		Address:   address,
		PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		CreatedAt: time.Now().UTC(),
	})
	if err != nil {
		return nil, fmt.Errorf("asking the CA: %w", err)
	}
	cert, err := certs.ParseCert([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the CA's answer: %v", err) // Our fault, not the caller's: no kind.
	}
	if got, ok := certs.AddressOf(cert); !ok || got != address || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("the CA signed another certificate")
	}
	return cert, nil
}

// addFingerprint remembers a certificate until its last day and forgets those
// that have expired.
func addFingerprint(id *record.Identity, cert *x509.Certificate, now time.Time) error {
	today := now.UTC().Format(time.DateOnly)
	valid := make(map[string]string)
	for fpr, day := range id.CertFingerprints {
		if day >= today {
			valid[fpr] = day
		}
	}
	if len(valid) >= maxSMTPCerts {
		return problem.Limit.Errorf("The address has too many certificates.")
	}
	valid[certs.Fingerprint1(cert.Raw)] = cert.NotAfter.UTC().Format(time.DateOnly)
	id.CertFingerprints = valid
	return nil
}
