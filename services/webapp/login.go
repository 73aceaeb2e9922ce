package webapp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const (
	sessionCookie = "_session_id"
	handshakeLife = 60 * time.Second
)

// A pending login is what is remembered between its two requests, under a
// hash of the cookie.
type pending struct {
	Login    string `json:"login"`
	UserID   string `json:"user_id"`  // Empty: nobody has this login.
	Verifier []byte `json:"verifier"` // SHA-256 of the account's verifier.
	Server   []byte `json:"server"`   // srp.Server.
}

// handshake begins a login: POST /1/sessions.
//
// Whether the login exists must not show. Known or not, the same is computed
// and stored; an unknown login has a salt and a verifier made of the server's
// secret, always the same, that no password fits.
func (s *site) handshake(r *request) (any, error) {
	if err := r.limit(s.limits.loginNetwork, r.network()); err != nil {
		return nil, err
	}
	req, err := decode(r, bonafide.DecodeHandshake)
	if err != nil {
		return nil, loginError(err)
	}
	if err := r.limit(s.limits.loginAccount, req.Login); err != nil {
		return nil, err
	}
	user, err := s.loginUser(r.Context(), req.Login)
	if err != nil {
		return nil, err
	}
	if user.Suite != req.Suite {
		// The client begins again or refuses (client.md 6).
		return bonafide.HandshakeResponse{Suite: user.Suite}, nil
	}
	salt, err := hex.DecodeString(user.PasswordSalt)
	if err != nil {
		return nil, err
	}
	server, err := srp.NewServer(user.Suite, req.Login, s.cfg.Domain, salt, user.PasswordVerifier, req.A, rand.Reader)
	if err != nil {
		return nil, loginError(err)
	}
	if err := s.remember(r, req.Login, user, server); err != nil {
		return nil, err
	}
	reply := bonafide.HandshakeResponse{B: server.B(), Salt: user.PasswordSalt}
	if user.Suite != srp.LEAP1024 { // A classic client gets what it knows.
		reply.Suite, reply.KDF = user.Suite, user.KDF
	}
	return reply, nil
}

// loginUser returns the account called login, or one without an id in its
// place.
func (s *site) loginUser(ctx context.Context, login string) (*record.User, error) {
	kdf := srp.DefaultKDF()
	fake := &record.User{
		Suite:            srp.SRP3072,
		KDF:              &kdf,
		PasswordSalt:     hex.EncodeToString(srp.FakeSalt(s.secret, login)),
		PasswordVerifier: srp.FakeVerifier(srp.SRP3072, s.secret, login),
	}
	user, err := s.st.Users.ByLogin(ctx, login)
	switch {
	case errors.Is(err, problem.NotExist):
		return fake, nil
	case err != nil:
		return nil, err
	}
	if user.Suite == "" {
		user.Suite = srp.LEAP1024 // An account that came from a classic provider.
	}
	if user.Suite == srp.LEAP1024 && !s.cfg.LegacyClients {
		return fake, nil
	}
	return user, nil
}

// remember stores a login until its second request and gives the client the
// cookie that leads to it.
func (s *site) remember(r *request, login string, user *record.User, server *srp.Server) error {
	state, err := server.MarshalBinary()
	if err != nil {
		return err
	}
	hash := sha256.Sum256([]byte(user.PasswordVerifier))
	data, err := json.Marshal(pending{login, user.ID, hash[:], state})
	if err != nil {
		return err
	}
	var random [32]byte
	rand.Read(random[:]) // Never fails.
	id := base64.RawURLEncoding.EncodeToString(random[:])
	if err := s.st.Sessions.Put(r.Context(), sessionID(id), data, time.Now().Add(handshakeLife)); err != nil {
		return err
	}
	r.setSession(id, int(handshakeLife/time.Second))
	return nil
}

// sessionID is the name of a session in the database, from which the cookie
// cannot be made.
func sessionID(cookie string) string {
	sum := sha256.Sum256([]byte(cookie))
	return hex.EncodeToString(sum[:])
}

func (r *request) setSession(id string, seconds int) {
	c := &http.Cookie{
		Name: sessionCookie, Value: id, Path: "/", MaxAge: seconds,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	r.header.Add("Set-Cookie", c.String())
}

// login ends a login: PUT /1/sessions/:login. Whatever comes of it, the
// handshake is used up.
func (s *site) login(r *request) (any, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || len(cookie.Value) > 128 {
		return nil, bonafide.NoHandshake()
	}
	data, err := s.st.Sessions.Take(r.Context(), sessionID(cookie.Value))
	if errors.Is(err, problem.NotExist) {
		return nil, bonafide.NoHandshake()
	}
	if err != nil {
		return nil, err
	}
	r.setSession("", -1)
	var p pending
	if err := json.Unmarshal(data, &p); err != nil || p.Login != r.PathValue("login") {
		return nil, bonafide.NoHandshake()
	}
	req, err := decode(r, bonafide.DecodeAuth)
	if err != nil {
		return nil, loginError(err)
	}
	server, err := srp.UnmarshalServer(p.Server)
	if err != nil {
		return nil, err
	}
	m2, err := server.Verify(req.ClientAuth)
	if err != nil {
		return nil, bonafide.WrongPassword()
	}
	return s.admit(r.Context(), p, m2)
}

// admit gives a token to whoever proved the password. The account may have
// changed since the handshake began.
func (s *site) admit(ctx context.Context, p pending, m2 string) (any, error) {
	if p.UserID == "" {
		return nil, bonafide.WrongPassword()
	}
	user, err := s.st.Users.ByID(ctx, p.UserID)
	if errors.Is(err, problem.NotExist) {
		return nil, bonafide.WrongPassword()
	}
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(user.PasswordVerifier))
	if !user.Enabled || subtle.ConstantTimeCompare(hash[:], p.Verifier) != 1 {
		return nil, bonafide.WrongPassword()
	}
	token := newToken()
	if err := s.st.Tokens.Create(ctx, token, user.ID); err != nil {
		return nil, err
	}
	return bonafide.AuthResponse{M2: m2, ID: user.ID, Token: token}, nil
}

// newToken returns 32 random bytes in URL-safe base64, without leading
// underscores (leap-protocols.md 1.7).
func newToken() string {
	var b [32]byte
	rand.Read(b[:]) // Never fails.
	return strings.TrimLeft(base64.RawURLEncoding.EncodeToString(b[:]), "_")
}

// loginError makes a plain text of what is wrong with a login's request:
// {"errors":{"base":"…"}}.
func loginError(err error) error {
	if problem.KindOf(err) != problem.Invalid {
		return err
	}
	return &bonafide.LoginError{Field: "base", Text: problem.DocumentOf(err).Detail}
}

// logout ends a login: DELETE /1/logout.
func (s *site) logout(r *request) (any, error) {
	if err := s.st.Tokens.Delete(r.Context(), r.caller.token); err != nil && !errors.Is(err, problem.NotExist) {
		return nil, err
	}
	return empty{}, nil
}
