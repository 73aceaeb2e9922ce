package soledad

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

const maxToken = 1024 // Of the whole header, bytes.

// parseToken reads `Token base64("<uuid>:<token>")`, leap-protocols.md 7.1.
func parseToken(header string) (user, token string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Token") || len(header) > maxToken {
		return "", "", false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", false
	}
	user, token, ok = strings.Cut(string(b), ":")
	return user, token, ok && validName(user) && token != ""
}

// authenticate returns the user whose token a header carries.
func (s *Server) authenticate(ctx context.Context, header string) (string, error) {
	user, token, ok := parseToken(header)
	if !ok {
		return "", u1db.ErrUnauthorized
	}
	owner, err := s.stores.Tokens.User(ctx, token)
	if errors.Is(err, problem.Unauthenticated) {
		return "", u1db.ErrUnauthorized
	}
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(owner), []byte(user)) != 1 {
		return "", u1db.ErrUnauthorized
	}
	return owner, nil
}
