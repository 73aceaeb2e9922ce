package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/srp"
)

// SignUp makes an account and returns its user id and its credentials, for
// CreateVault and Login. What the provider refuses is bonafide.FieldErrors,
// of kind Exist when the name is taken; Permission when sign-up is closed.
func (p *Provider) SignUp(ctx context.Context, a Account, password string) (userID string, cred *Credentials, err error) {
	if err := bonafide.ValidLogin(a.Login); err != nil {
		return "", nil, err
	}
	suite := srp.SRP3072
	if a.Classic {
		suite = srp.LEAP1024
	}
	if cred, err = fresh(suite, a.Login, password); err != nil {
		return "", nil, err
	}
	req := bonafide.SignupRequest{Login: a.Login, Suite: suite, InviteCode: a.Invite}
	req.PasswordSalt, req.PasswordVerifier, req.KDF = cred.wire()
	r, err := do(ctx, p.hc, call{method: http.MethodPost, url: p.api("/1/users"), form: req.Encode()})
	if err != nil {
		return "", nil, err
	}
	var resp bonafide.SignupResponse
	if json.Unmarshal(r.body, &resp) != nil || !resp.OK || !userIDForm(resp.ID) {
		return "", nil, problem.Invalid.Errorf("malformed answer to sign-up")
	}
	return resp.ID, cred, nil
}

// userIDForm reports whether id can be a user id, which becomes part of
// database names and paths.
func userIDForm(id string) bool {
	_, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	return err == nil && len(id) >= 8 && len(id) <= 64
}

// Login logs in and returns the session. The provider must prove that it
// knows the verifier; wrong login and wrong password are one and the same
// *bonafide.LoginError, of kind Unauthenticated. With a.Known, password may be
// empty as long as the provider's salt has not changed; if it has, because the
// password was changed on another device, that is Unauthenticated too.
func (p *Provider) Login(ctx context.Context, a Account, password string) (*Session, error) {
	a.Login = strings.ToLower(a.Login)
	pinned := a.Known != nil && a.Known.Suite == srp.SRP3072
	suite := srp.SRP3072
	if a.Known != nil && a.Classic {
		suite = a.Known.Suite
	}
	h, err := p.handshake(ctx, a.Login, suite)
	if err == nil && h.offered == srp.LEAP1024 && suite == srp.SRP3072 {
		if pinned || !a.Classic {
			return nil, &DowngradeError{Pinned: pinned}
		}
		h, err = p.handshake(ctx, a.Login, srp.LEAP1024)
	}
	if err != nil {
		return nil, err
	}
	return p.prove(ctx, a, password, h)
}

// A handshake is the first half of a login.
type handshake struct {
	client  *srp.Client
	suite   srp.Suite // Of client.
	offered srp.Suite // By the provider.
	salt    []byte
	kdf     srp.KDF
	b       string
	cookies []*http.Cookie
}

func (p *Provider) handshake(ctx context.Context, login string, s srp.Suite) (handshake, error) {
	c, err := srp.NewClient(s, login, p.Document().Domain, rand.Reader)
	if err != nil {
		return handshake{}, err
	}
	req := bonafide.HandshakeRequest{Login: login, A: c.A(), Suite: s}
	r, err := do(ctx, p.hc, call{method: http.MethodPost, url: p.api("/1/sessions"), form: req.Encode()})
	if err != nil {
		return handshake{}, err
	}
	var resp bonafide.HandshakeResponse
	if json.Unmarshal(r.body, &resp) != nil {
		return handshake{}, problem.Invalid.Errorf("malformed answer to the handshake")
	}
	h := handshake{client: c, suite: s, offered: resp.Suite, b: resp.B, cookies: r.cookies}
	if h.offered == "" { // A classic provider does not know the word.
		h.offered = srp.LEAP1024
	}
	if resp.KDF != nil {
		h.kdf = *resp.KDF
	}
	if len(resp.Salt)%2 == 1 {
		resp.Salt = "0" + resp.Salt
	}
	if h.salt, err = hex.DecodeString(resp.Salt); err != nil {
		return handshake{}, problem.Invalid.Errorf("malformed salt")
	}
	return h, nil
}

// prove is the second half: M1 out, M2 in.
func (p *Provider) prove(ctx context.Context, a Account, password string, h handshake) (*Session, error) {
	if h.offered != h.suite {
		return nil, problem.Invalid.Errorf("the provider answers in suite %s", h.offered)
	}
	cred := a.Known
	if !cred.fit(h.suite, h.salt, h.kdf) {
		if cred != nil && password == "" {
			return nil, problem.Unauthenticated.Errorf("the password was changed on another device")
		}
		var err error
		if cred, err = derive(h.suite, a.Login, password, h.salt, h.kdf); err != nil {
			return nil, err
		}
	}
	m1, err := h.client.Respond(cred.Secret, h.salt, h.b)
	if err != nil {
		return nil, err
	}
	r, err := do(ctx, p.hc, call{
		method: http.MethodPut, url: p.api("/1/sessions/" + url.PathEscape(a.Login)),
		form: bonafide.AuthRequest{ClientAuth: m1}.Encode(), cookies: h.cookies,
	})
	if err != nil {
		return nil, err
	}
	var resp bonafide.AuthResponse
	if json.Unmarshal(r.body, &resp) != nil || !userIDForm(resp.ID) || resp.Token == "" {
		return nil, problem.Invalid.Errorf("malformed answer to the login")
	}
	if err := h.client.Verify(resp.M2); err != nil {
		return nil, err
	}
	if a.UserID != "" && a.UserID != resp.ID {
		return nil, problem.Invalid.Errorf("the provider has another account of this name")
	}
	return &Session{p: p, login: a.Login, userID: resp.ID, token: resp.Token, cred: cred}, nil
}
