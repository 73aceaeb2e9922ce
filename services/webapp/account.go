package webapp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// tries is how often a change is made anew when another one came between.
const tries = 3

// updateUser changes an account: PUT /1/users/:id. What is not named stays.
func (s *site) updateUser(r *request) (any, error) {
	id := r.PathValue("id")
	if id != r.caller.user.ID && !r.caller.admin {
		return nil, problem.Permission // Whether there is such a user or not.
	}
	req, err := decode(r, bonafide.DecodeUpdateUser)
	if err != nil {
		return nil, err
	}
	if err := s.limitPassword(r, req); err != nil {
		return nil, err
	}
	if err := s.changeUser(r.Context(), id, req); err != nil {
		return nil, err
	}
	if req.PasswordVerifier != nil {
		if err := s.revoke(r, id); err != nil {
			return nil, err
		}
	}
	return empty{}, nil
}

// limitPassword counts new passwords as logins: they cost as much.
func (s *site) limitPassword(r *request, req bonafide.UpdateUserRequest) error {
	if req.PasswordVerifier == nil {
		return nil
	}
	return r.limit(s.limits.loginAccount, r.caller.user.Login)
}

func (s *site) changeUser(ctx context.Context, id string, req bonafide.UpdateUserRequest) error {
	for range tries {
		user, err := s.st.Users.ByID(ctx, id)
		if errors.Is(err, problem.NotExist) {
			return problem.NotExist.Errorf("No such user.")
		}
		if err != nil {
			return err
		}
		err = s.applyUpdate(ctx, user, req)
		if !errors.Is(err, problem.Stale) {
			return err
		}
	}
	return problem.Unavailable.Errorf("Please try again later.")
}

// applyUpdate changes user, which was just read, as req says.
func (s *site) applyUpdate(ctx context.Context, user *record.User, req bonafide.UpdateUserRequest) error {
	if req.PublicKey != nil {
		// The key belongs to the address, not to the account: it is set apart.
		if err := s.publish(ctx, user, *req.PublicKey); err != nil {
			return err
		}
	}
	req.PublicKey = nil
	if req == (bonafide.UpdateUserRequest{}) {
		return nil
	}
	before := user.Login
	if req.Login != nil && *req.Login != before {
		if req.PasswordVerifier == nil {
			// The verifier is computed over the login.
			return fieldError("login", "a new login needs a new password verifier")
		}
		if s.reserved(*req.Login) {
			return errTaken
		}
		user.Login = *req.Login
	}
	if req.PasswordVerifier != nil {
		if err := s.setVerifier(user, *req.Suite, req.KDF, *req.PasswordSalt, *req.PasswordVerifier); err != nil {
			return err
		}
	}
	if req.RecoveryCodeVerifier != nil {
		user.RecoveryCodeSalt, user.RecoveryCodeVerifier = *req.RecoveryCodeSalt, *req.RecoveryCodeVerifier
	}
	if req.ContactEmail != nil {
		user.ContactEmail = *req.ContactEmail
	}
	user.UpdatedAt = time.Now().UTC().Truncate(time.Second)
	if user.Login != before {
		return s.rename(ctx, user, before)
	}
	return s.st.Users.Update(ctx, user)
}

// rename stores user, whose login was before until now. The new address is
// claimed first; the old one stays as an alias of the new.
func (s *site) rename(ctx context.Context, user *record.User, before string) error {
	claimed, err := s.claim(ctx, user.Login, user.ID)
	if err != nil {
		return err
	}
	switch _, err := s.st.Users.ByLogin(ctx, user.Login); {
	case err == nil:
		s.release(ctx, claimed)
		return errTaken
	case !errors.Is(err, problem.NotExist):
		s.release(ctx, claimed)
		return err
	}
	if err := s.st.Users.Update(ctx, user); err != nil {
		s.release(ctx, claimed)
		return err
	}
	return s.changeIdentity(ctx, s.address(before), user.ID, func(old *record.Identity) error {
		old.Destination = claimed.Address
		return nil
	})
}

// changeIdentity reads, changes and stores an identity of a user.
func (s *site) changeIdentity(ctx context.Context, addr nick.Address, userID string, change func(*record.Identity) error) error {
	for range tries {
		id, err := s.st.Identities.ByAddress(ctx, addr)
		if err == nil && id.UserID != userID {
			err = problem.NotExist.Errorf("the account has no address")
		}
		if err != nil {
			return err
		}
		if err := change(id); err != nil {
			return err
		}
		if err := s.st.Identities.Update(ctx, id); !errors.Is(err, problem.Stale) {
			return err
		}
	}
	return problem.Unavailable.Errorf("Please try again later.")
}

// revoke ends all logins of a user but the one that made the request, then
// withdraws the certificates that those could ask for.
func (s *site) revoke(r *request, userID string) error {
	if err := s.st.Tokens.DeleteUser(r.Context(), userID); err != nil {
		return fmt.Errorf("revoking tokens: %w", err)
	}
	if userID == r.caller.user.ID { // An administrator's token is not the user's.
		if err := s.st.Tokens.Create(r.Context(), r.caller.token, userID); err != nil {
			return err
		}
	}
	return s.forgetCertificates(r.Context(), userID)
}

// forgetCertificates withdraws all certificates with which a user may send
// mail: relay knows them by their fingerprints.
func (s *site) forgetCertificates(ctx context.Context, userID string) error {
	list, err := s.st.Identities.ByUser(ctx, userID)
	if err != nil {
		return err
	}
	for _, id := range list {
		if len(id.CertFingerprints) == 0 {
			continue
		}
		err := s.changeIdentity(ctx, nick.Address(id.Address), userID, func(id *record.Identity) error {
			id.CertFingerprints = nil
			return nil
		})
		if err != nil && !errors.Is(err, problem.NotExist) {
			return fmt.Errorf("withdrawing certificates: %w", err)
		}
	}
	return nil
}

// deleteUser deletes an account: DELETE /1/users/:id. Its addresses become
// free with identities=destroy; otherwise nobody can have them again. The
// account comes last: whoever is interrupted can log in and go on.
// The user's database is destroyed by tapicero.
func (s *site) deleteUser(r *request) (any, error) {
	ctx, id := r.Context(), r.PathValue("id")
	if r.caller.user != nil && !r.caller.admin && id != r.caller.user.ID {
		return nil, problem.Permission // Whether there is such a user or not.
	}
	user, err := s.st.Users.ByID(ctx, id)
	if errors.Is(err, problem.NotExist) {
		return nil, problem.NotExist.Errorf("No such user.")
	}
	if err != nil {
		return nil, err
	}
	if err := r.caller.mayHandle(user); err != nil {
		return nil, err
	}
	destroy := r.caller.monitor || r.URL.Query().Get("identities") == "destroy"
	if err := s.abandonAll(ctx, id, destroy); err != nil {
		return nil, err
	}
	if err := s.st.Tokens.DeleteUser(ctx, id); err != nil {
		return nil, fmt.Errorf("revoking tokens: %w", err)
	}
	if err := s.st.Users.Delete(ctx, id); err != nil && !errors.Is(err, problem.NotExist) {
		return nil, err
	}
	return map[string]string{"success": "user deleted"}, nil
}

// abandonAll destroys or blocks all addresses of a user.
func (s *site) abandonAll(ctx context.Context, userID string, destroy bool) error {
	list, err := s.st.Identities.ByUser(ctx, userID)
	if err != nil {
		return err
	}
	for _, id := range list {
		if destroy {
			err = s.st.Identities.Delete(ctx, id)
		} else {
			id.UserID, id.Keys, id.Fingerprint, id.CertFingerprints = "", nil, "", nil
			id.Enabled = false
			err = s.st.Identities.Update(ctx, id)
		}
		if err != nil && !errors.Is(err, problem.NotExist) {
			return err // Stale too: the caller repeats.
		}
	}
	return nil
}
