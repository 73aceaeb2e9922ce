package smtpd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// A session is one connection. The library calls its methods one at a time.
type session struct {
	server *Server
	ctx    context.Context // Of Serve: the library's interface passes none.
	wg     *sync.WaitGroup // Of Serve.

	authenticated bool
	from          nick.Address
	to            []nick.Address
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth implements smtp.AuthSession.
func (s *session) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != user {
				return smtp.ErrAuthFailed
			}
			return s.login(user, password)
		}), nil
	case sasl.Login:
		return &loginServer{check: s.login}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) login(user, password string) error {
	if !s.server.cfg.Key.Opens(s.ctx.Done(), user, password) {
		s.server.log.Warn("an SMTP login was refused")
		return smtp.ErrAuthFailed
	}
	s.authenticated = true
	return nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.authenticated {
		return reply(530, 5, 7, 0, "Authentication required") // RFC 4954, 6.
	}
	a, err := nick.ParseAddress(from)
	if err != nil || !s.server.own(a) {
		return reply(553, 5, 7, 1, "You may write only from your own address")
	}
	s.from = a
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	a, err := nick.ParseAddress(to)
	if err != nil {
		return reply(553, 5, 1, 3, "The address is malformed, or beyond ASCII")
	}
	if !slices.Contains(s.to, a) {
		s.to = append(s.to, a)
	}
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	s.wg.Add(1)
	defer s.wg.Done()
	select {
	case s.server.inWork <- struct{}{}:
	case <-s.ctx.Done():
		return reply(421, 4, 3, 2, "Shutting down")
	}
	defer func() { <-s.server.inWork }()
	raw, err := read(r)
	if err != nil {
		return err
	}
	if err := s.server.Send(s.ctx, s.from, s.to, raw); err != nil {
		return s.server.answer(err)
	}
	return nil
}

// read reads a message and refuses what later servers could take for another
// end of it (RFC 5321, 2.3.8; "SMTP smuggling").
func read(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(r) // Of MaxMessageBytes at most; beyond is an error.
	if err != nil {
		return nil, err
	}
	for i, c := range raw {
		switch {
		case c == 0, c == '\n' && (i == 0 || raw[i-1] != '\r'), c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'):
			return nil, reply(550, 5, 6, 0, "The message holds bare CR, bare LF or NUL")
		}
	}
	return raw, nil
}

// answer turns an error into what the mail program shows. What has no kind is
// told only to the log.
func (s *Server) answer(err error) error {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return e
	}
	detail := problem.DocumentOf(err).Detail
	switch {
	case errors.Is(err, problem.Invalid), errors.Is(err, problem.Permission):
		return reply(550, 5, 7, 0, detail)
	case errors.Is(err, problem.Limit):
		return reply(552, 5, 3, 4, detail)
	case errors.Is(err, problem.Unavailable):
		return reply(451, 4, 4, 3, detail)
	}
	s.log.Error("taking a message", "err", err)
	return reply(451, 4, 3, 0, "The message could not be taken")
}

func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

// A loginServer is the server's side of AUTH LOGIN, which some mail programs
// know alone (draft-murchison-sasl-login).
type loginServer struct {
	check func(user, password string) error
	user  *string
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		user := string(response)
		l.user = &user
		return []byte("Password:"), false, nil
	}
	if err := l.check(*l.user, string(response)); err != nil {
		return nil, false, fmt.Errorf("login: %w", err)
	}
	return nil, true, nil
}
