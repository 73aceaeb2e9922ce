package session

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
	"leap.example/services/protocol/srp"
)

// A Session is a logged-in account. It is safe for concurrent use. A request
// that is refused because the token has expired is repeated once after a new
// login.
type Session struct {
	p             *Provider
	login, userID string

	renewing sync.Mutex // Held while logging in again; before mu.

	mu    sync.Mutex // Guards what follows; never held during an exchange.
	token string
	cred  *Credentials
	smtp  smtpCert
}

// UserID returns the account's id at the provider.
func (s *Session) UserID() string { return s.userID }

// Address returns the account's mail address.
func (s *Session) Address() nick.Address {
	return nick.Address(s.login + "@" + s.p.Document().Domain)
}

// Credentials returns those of the present password.
func (s *Session) Credentials() *Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred
}

// Token returns the present token. It makes no request: a service that finds
// the token expired says so, and the caller calls Renew.
func (s *Session) Token(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == "" {
		return "", problem.Unauthenticated.Errorf("logged out")
	}
	return s.token, nil
}

// Renew logs in again unless somebody else has replaced token old meanwhile.
// Unauthenticated: the password was changed on another device.
func (s *Session) Renew(ctx context.Context, old string) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	token, err := s.Token(ctx)
	if err != nil || token != old {
		return err
	}
	cred := s.Credentials()
	next, err := s.p.Login(ctx, Account{
		Login: s.login, Known: cred, UserID: s.userID, Classic: cred.Suite == srp.LEAP1024,
	}, "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = next.token
	return nil
}

// withToken runs f, and once more with a new token if the first is refused.
func (s *Session) withToken(ctx context.Context, f func(token string) error) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	if err := f(token); !errors.Is(err, problem.Unauthenticated) {
		return err
	}
	if err := s.Renew(ctx, token); err != nil {
		return err
	}
	if token, err = s.Token(ctx); err != nil {
		return err
	}
	return f(token)
}

// do is one request of the account API; the answer is decoded into v unless v
// is nil.
func (s *Session) do(ctx context.Context, method, path string, form []byte, v any) error {
	return s.withToken(ctx, func(token string) error {
		r, err := do(ctx, s.p.hc, call{method: method, url: s.p.api(path), token: token, form: form})
		if err != nil || v == nil {
			return err
		}
		if json.Unmarshal(r.body, v) != nil {
			return problem.Invalid.Errorf("malformed answer of the provider")
		}
		return nil
	})
}

// Logout ends the session at the provider. The session is unusable afterwards,
// also when the provider could not be told.
func (s *Session) Logout(ctx context.Context) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.token = ""
	s.mu.Unlock()
	_, err = do(ctx, s.p.hc, call{method: http.MethodDelete, url: s.p.api("/1/logout"), token: token})
	return err
}

// PublishKey makes armored the public key of the account's address.
func (s *Session) PublishKey(ctx context.Context, armored string) error {
	return s.update(ctx, bonafide.UpdateUserRequest{PublicKey: &armored})
}

func (s *Session) update(ctx context.Context, req bonafide.UpdateUserRequest) error {
	return s.do(ctx, http.MethodPut, "/1/users/"+s.userID, req.Encode(), nil)
}

// DeleteAccount removes the account and all its data at the provider. Its name
// stays blocked there, so that nobody else receives its mail.
func (s *Session) DeleteAccount(ctx context.Context) error {
	return s.do(ctx, http.MethodDelete, "/1/users/"+s.userID, nil, nil)
}

// Service returns what the account's service level gives.
func (s *Session) Service(ctx context.Context) (bonafide.ServiceResponse, error) {
	var r bonafide.ServiceResponse
	err := s.do(ctx, http.MethodGet, "/1/service", nil, &r)
	return r, err
}

// Messages returns the provider's notices in a language.
func (s *Session) Messages(ctx context.Context, locale string) ([]bonafide.Message, error) {
	var r []bonafide.Message
	err := s.do(ctx, http.MethodGet, "/1/messages?locale="+url.QueryEscape(locale), nil, &r)
	return r, err
}

// MXKeys returns the armored public keys that sign incoming mail, at most
// maxAge old: Daily, or 0 after an envelope with an unknown signature.
func (s *Session) MXKeys(ctx context.Context, maxAge time.Duration) ([]string, error) {
	var keys bonafide.MXKeys
	err := s.withToken(ctx, func(token string) (err error) {
		keys, err = cached(ctx, s.p, "/2/mx-keys", token, maxAge, func(body []byte) (k bonafide.MXKeys, err error) {
			if json.Unmarshal(body, &k) != nil || len(k.OpenPGP) == 0 {
				return k, problem.Invalid.Errorf("malformed list of MX keys")
			}
			return k, nil
		})
		return err
	})
	return keys.OpenPGP, err
}

// Hosts returns where the service called name ("soledad", "smtp") runs, at
// most maxAge old.
func (s *Session) Hosts(ctx context.Context, name string, maxAge time.Duration) (provider.HostsService, error) {
	var h provider.HostsService
	err := s.withToken(ctx, func(token string) (err error) {
		h, err = s.p.hosts(ctx, name, token, maxAge)
		return err
	})
	return h, err
}
