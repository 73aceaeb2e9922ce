package ca

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/services/protocol/certs"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// maxAge is how old a request may be: whoever put it waits no longer.
const maxAge = 10 * time.Minute

// answerAll answers pending. One request that cannot be answered does not
// hold up the others; its error ends the feed, so that it is met again after
// a pause.
func (s *Server) answerAll(ctx context.Context, a *authority, pending []record.CertRequest) error {
	var first error
	for _, req := range pending {
		if err := s.answer(ctx, a, req); err != nil && first == nil {
			first = err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	s.mu.Lock()
	s.answerErr = first
	s.mu.Unlock()
	return first
}

func (s *Server) answer(ctx context.Context, a *authority, req record.CertRequest) error {
	if req.Cert != "" || req.Error != "" {
		return nil // Answered: the requester has not fetched it yet.
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	cert, err := s.issue(a, req)
	if err != nil {
		if problem.KindOf(err) == problem.Internal {
			return fmt.Errorf("signing: %w", err)
		}
		req.Error = problem.DocumentOf(err).Detail
		s.log.Warn("request refused", "err", err)
	}
	err = s.store.Answer(ctx, req, cert)
	if errors.Is(err, problem.NotExist) || errors.Is(err, problem.Stale) {
		return nil // The requester gave up.
	}
	return err
}

// issue decides about one request. Its refusals have a kind other than
// Internal.
func (s *Server) issue(a *authority, req record.CertRequest) (certPEM string, err error) {
	now := time.Now()
	if now.Sub(req.CreatedAt) > maxAge {
		return "", problem.Invalid.Errorf("request is older than %v", maxAge)
	}
	if err := checkAddress(req.Address, s.cfg.Domain); err != nil {
		return "", err
	}
	pub, err := parsePublicKey(req.PublicKey)
	if err != nil {
		return "", err
	}
	return a.sign(certs.SMTPClient(req.Address, s.smtpLife, now), pub)
}
