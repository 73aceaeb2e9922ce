package webapp

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/record"
)

// A caller is who makes a request. The zero value is nobody in particular.
type caller struct {
	user    *record.User // Logged in by token.
	token   string
	admin   bool // The user is an administrator.
	monitor bool // The static token.
}

// An admission says whom an action is for.
type admission int

const (
	anyone         admission = iota // Also without a token. A token must be good, and its user enabled.
	anybody                         // With a user's token, also of a disabled user.
	members                         // With the token of an enabled user.
	staff                           // Administrators and the monitor.
	membersOrStaff                  // The two before.
)

// admit refuses whom an action is not for: Unauthenticated when logging in
// could help, else Permission.
func (c caller) admit(who admission) error {
	switch {
	case who == anyone && c.user == nil:
		return nil
	case c.user == nil && !c.monitor:
		return problem.Unauthenticated.Errorf("Please log in to perform that action.")
	case c.user != nil && !c.user.Enabled && who != anybody,
		who == staff && !c.admin && !c.monitor,
		c.user == nil && (who == members || who == anybody):
		return problem.Permission
	}
	return nil
}

// authenticate finds out who makes the request. A token that is not good is
// Unauthenticated, also where none is needed (leap-protocols.md 1.7).
func (s *site) authenticate(r *http.Request) (caller, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return caller{}, nil
	}
	wrong := problem.Unauthenticated.Errorf("the token is not valid")
	token, ok := bonafide.ParseTokenHeader(header)
	if !ok {
		return caller{}, wrong
	}
	if s.monitorToken != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.monitorToken)) == 1 {
		if !s.monitorMayFrom(r.RemoteAddr) {
			return caller{}, wrong
		}
		return caller{monitor: true}, nil
	}
	id, err := s.st.Tokens.User(r.Context(), token)
	if err != nil {
		return caller{}, err
	}
	user, err := s.st.Users.ByID(r.Context(), id)
	if errors.Is(err, problem.NotExist) {
		return caller{}, wrong // The user was deleted.
	}
	if err != nil {
		return caller{}, err
	}
	return caller{user: user, token: token, admin: slices.Contains(s.cfg.Admins, user.Login)}, nil
}

func (s *site) monitorMayFrom(remoteAddr string) bool {
	ip := remote(remoteAddr)
	if ip.IsLoopback() {
		return true
	}
	for _, p := range s.monitorIPs {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// testLogin reports whether the monitor may handle login.
func testLogin(login string) bool {
	return strings.HasPrefix(login, "test_user") || strings.HasPrefix(login, "tmp_user")
}

// mayHandle refuses, with Permission, a user whom c may not look up or delete.
func (c caller) mayHandle(u *record.User) error {
	switch {
	case c.admin, c.monitor && testLogin(u.Login), c.user != nil && c.user.ID == u.ID:
		return nil
	}
	return problem.Permission
}
