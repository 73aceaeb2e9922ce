package webapp

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
	"leap.example/services/protocol/srp"
)

const maxFound = 100 // Logins in the answer to a search.

// signup makes an account: POST /1/users.
func (s *site) signup(r *request) (any, error) {
	policy := s.provider.EnrollmentPolicy
	if r.caller.monitor {
		policy = "open" // It needs no invitation.
	}
	if policy == "closed" {
		return nil, errClosed
	}
	if err := r.limit(s.limits.signup, r.network()); err != nil {
		return nil, err
	}
	req, err := decode(r, bonafide.DecodeSignup)
	if err != nil {
		return nil, err
	}
	if r.caller.monitor && !testLogin(req.Login) {
		return nil, problem.Permission
	}
	user, err := s.newUser(req)
	if err != nil {
		return nil, err
	}
	invite := ""
	if policy == "invite" {
		if invite = strings.ToLower(strings.TrimSpace(req.InviteCode)); invite == "" {
			return nil, fieldError("invite_code", badInvite)
		}
	}
	if err := s.enroll(r.Context(), user, invite); err != nil {
		return nil, err
	}
	return created{s.describe(user)}, nil
}

// newUser checks what is asked for and returns the account, which exists
// nowhere yet.
func (s *site) newUser(req bonafide.SignupRequest) (*record.User, error) {
	if s.reserved(req.Login) {
		return nil, fieldError("login", bonafide.Taken)
	}
	now := time.Now().UTC().Truncate(time.Second)
	user := &record.User{
		ID:           newID(),
		Type:         "User",
		Login:        req.Login,
		ContactEmail: req.ContactEmail,
		Enabled:      true,
		ServiceLevel: s.defaultLevel(),
		CreatedAt:    now,
		UpdatedAt:    now,
	}
	return user, s.setVerifier(user, req.Suite, req.KDF, req.PasswordSalt, req.PasswordVerifier)
}

// setVerifier gives user a new password. The members were decoded by bonafide,
// which checked their form; here they are tried.
func (s *site) setVerifier(user *record.User, suite srp.Suite, kdf *srp.KDF, salt, verifier string) error {
	if suite == srp.LEAP1024 {
		if !s.cfg.LegacyClients {
			return fieldError("suite", "this provider needs a newer client")
		}
		if user.Suite == srp.SRP3072 {
			return fieldError("suite", "the account does not go back to an older login") // client.md 6.
		}
		kdf = nil
	}
	salt, verifier = strings.ToLower(salt), strings.ToLower(verifier)
	if len(salt)%2 == 1 {
		salt = "0" + salt // Classic clients write numbers.
	}
	saltBytes, err := hex.DecodeString(salt)
	if err != nil {
		return fieldError("password_salt", "must be a hex string")
	}
	// A verifier that a login cannot begin with is none. Any number of the
	// group will do as A, the verifier itself among them.
	if _, err := srp.NewServer(suite, user.Login, s.cfg.Domain, saltBytes, verifier, verifier, rand.Reader); err != nil {
		return fieldError("password_verifier", "is not a number of the group")
	}
	user.Suite, user.KDF = suite, kdf
	user.PasswordSalt, user.PasswordVerifier = salt, verifier
	return nil
}

// reserved reports whether no user may be called login.
func (s *site) reserved(login string) bool {
	if slices.Contains(s.cfg.AllowedNames, login) {
		return false
	}
	// A path that ends in ".json" means the name without it.
	return bonafide.Reserved(login) || slices.Contains(s.cfg.ReservedNames, login) || strings.HasSuffix(login, ".json")
}

func newID() string {
	var id [16]byte
	rand.Read(id[:]) // Never fails.
	return hex.EncodeToString(id[:])
}

// describe returns what is told of an account.
func (s *site) describe(u *record.User) bonafide.SignupResponse {
	return bonafide.SignupResponse{
		Login: u.Login, OK: true, ID: u.ID, Enabled: u.Enabled,
		IsAdmin: slices.Contains(s.cfg.Admins, u.Login),
	}
}

// showUser serves GET /1/users/:id and GET /1/users/0.json?login=L.
func (s *site) showUser(r *request) (any, error) {
	var user *record.User
	var err error
	if login := r.URL.Query().Get("login"); login != "" && r.PathValue("id") == "0" {
		user, err = s.st.Users.ByLogin(r.Context(), login)
	} else {
		user, err = s.st.Users.ByID(r.Context(), r.PathValue("id"))
	}
	if errors.Is(err, problem.NotExist) {
		return nil, problem.NotExist.Errorf("No such user.")
	}
	if err != nil {
		return nil, err
	}
	if err := r.caller.mayHandle(user); err != nil {
		return nil, err
	}
	return s.describe(user), nil
}

// searchUsers serves GET /1/users?query=al, for administrators.
func (s *site) searchUsers(r *request) (any, error) {
	if !r.caller.admin {
		return nil, problem.Permission
	}
	query := r.URL.Query().Get("query")
	if query == "" {
		return nil, unprocessable("query required")
	}
	logins, err := s.st.Users.Search(r.Context(), query, maxFound)
	if logins == nil {
		logins = []string{}
	}
	return logins, err
}
