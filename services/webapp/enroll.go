package webapp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

const (
	badInvite  = "This is not a valid code"
	usedInvite = "This code has already been used"

	// claimGrace is how long a claimed address may be without its user: a
	// sign-up takes seconds.
	claimGrace = time.Minute
)

var errTaken = bonafide.FieldErrors{"login": {bonafide.Taken}}

// enroll stores a new account. The address comes first, because only its
// document can be claimed by one alone; then the invitation is used, then the
// user is stored. What a crash leaves behind is a claimed address without a
// user, which the next one who wants it takes over after claimGrace, and at
// worst an invitation used for nothing. ctx ends long before claimGrace.
func (s *site) enroll(ctx context.Context, user *record.User, invite string) error {
	claimed, err := s.claim(ctx, user.Login, user.ID)
	if err != nil {
		return err
	}
	if err := s.entitle(ctx, user.Login, invite); err != nil {
		s.release(ctx, claimed)
		return err
	}
	// After a failure here the claim stays: the user may have been stored all
	// the same, and needs it.
	if err := s.st.Users.Create(ctx, user); err != nil {
		return fmt.Errorf("storing a user: %w", err)
	}
	return nil
}

// entitle checks that the name is free and uses the invitation, if any.
func (s *site) entitle(ctx context.Context, login, invite string) error {
	// A user whose deletion was interrupted still has the name.
	switch _, err := s.st.Users.ByLogin(ctx, login); {
	case err == nil:
		return errTaken
	case !errors.Is(err, problem.NotExist):
		return err
	}
	if invite != "" {
		switch err := s.st.Invites.Use(ctx, invite); {
		case errors.Is(err, problem.NotExist):
			return fieldError("invite_code", badInvite)
		case errors.Is(err, problem.Limit):
			return fieldError("invite_code", usedInvite)
		case err != nil:
			return err
		}
	}
	return nil
}

func (s *site) address(login string) nick.Address {
	return nick.Address(login + "@" + s.cfg.Domain)
}

// claim makes the address of login the user's, or returns errTaken.
func (s *site) claim(ctx context.Context, login, userID string) (*record.Identity, error) {
	addr := s.address(login)
	id := &record.Identity{
		ID:          strings.Replace(string(addr), "@", ":", 1),
		Type:        "Identity",
		UserID:      userID,
		Address:     string(addr),
		Destination: string(addr),
		WKD:         nick.WKDHash(login),
		Enabled:     true,
		CreatedAt:   time.Now().UTC().Truncate(time.Second),
	}
	err := s.st.Identities.Create(ctx, id)
	if err == nil {
		return id, nil
	}
	if !errors.Is(err, problem.Exist) {
		return nil, fmt.Errorf("claiming an address: %w", err)
	}
	old, err := s.abandoned(ctx, addr)
	if err != nil {
		return nil, err
	}
	id.ID, id.Rev = old.ID, old.Rev
	switch err := s.st.Identities.Update(ctx, id); {
	case errors.Is(err, problem.Stale):
		return nil, errTaken // Another one was faster.
	case err != nil:
		return nil, fmt.Errorf("taking over an address: %w", err)
	}
	return id, nil
}

// abandoned returns an identity whose user does not exist, although it is old
// enough that no sign-up is under way. Otherwise errTaken.
func (s *site) abandoned(ctx context.Context, addr nick.Address) (*record.Identity, error) {
	old, err := s.st.Identities.ByAddress(ctx, addr)
	if errors.Is(err, problem.NotExist) {
		return nil, errTaken // It was released just now.
	}
	if err != nil {
		return nil, err
	}
	if old.UserID == "" || time.Since(old.CreatedAt) < claimGrace {
		return nil, errTaken // Blocked, or a sign-up is under way.
	}
	switch _, err := s.st.Users.ByID(ctx, old.UserID); {
	case err == nil:
		return nil, errTaken
	case !errors.Is(err, problem.NotExist):
		return nil, err
	}
	return old, nil
}

// release gives up a claim after a failure, also when ctx is over.
func (s *site) release(ctx context.Context, claimed *record.Identity) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	id, err := s.st.Identities.ByAddress(ctx, nick.Address(claimed.Address))
	if err == nil && id.UserID == claimed.UserID {
		err = s.st.Identities.Delete(ctx, id)
	}
	if err != nil && !errors.Is(err, problem.NotExist) {
		s.log.WarnContext(ctx, "a claimed address stays without a user", "err", err)
	}
}
