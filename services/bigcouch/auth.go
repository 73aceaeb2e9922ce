package bigcouch

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"slices"
	"sync"

	"leap.example/services/bigcouch/store"
)

// A user is who sent a request. The zero user is nobody.
type user struct {
	Name    string
	Roles   []string
	admin   bool   // Server administrator.
	handler string // How it was authenticated: "default" (basic), "cookie" or "proxy".
}

// is reports whether u has one of the names or roles.
func (u user) is(names, roles []string) bool {
	return u.Name != "" && slices.Contains(names, u.Name) ||
		slices.ContainsFunc(u.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

// An auth knows the accounts of Config and remembers which passwords of others
// have been verified. What it keeps of a password is its HMAC under a key that
// lives as long as the process.
type auth struct {
	key      [32]byte
	accounts map[string]account
	hashing  chan struct{} // Has room for as many slow verifications as may run.
	proxy    []byte        // Secret shared with proxies that authenticate users. Nil: there are none.

	mu       sync.Mutex // Guards verified.
	verified map[[32]byte]bool
}

type account struct {
	mac  [32]byte // Of the password.
	user user
}

// maxVerified is how many verified passwords are remembered.
const maxVerified = 4096

// newAuth reads the passwords of the accounts and the secret of proxies.
func newAuth(accounts []ConfigAccount, proxySecretFile string) (*auth, error) {
	a := &auth{accounts: map[string]account{}, hashing: make(chan struct{}, 2), verified: map[[32]byte]bool{}}
	rand.Read(a.key[:])
	for _, c := range accounts {
		password, err := readSecret(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password of account %s: %w", c.Name, err)
		}
		u := user{Name: c.Name, Roles: slices.Clone(c.Roles), admin: c.Admin}
		if c.Admin {
			u.Roles = append(u.Roles, "_admin")
		}
		a.accounts[c.Name] = account{a.mac("password", string(password)), u}
	}
	if proxySecretFile != "" {
		var err error
		if a.proxy, err = readSecret(proxySecretFile); err != nil {
			return nil, fmt.Errorf("secret of proxies: %w", err)
		}
	}
	return a, nil
}

// readSecret reads a file with one secret. A newline at its end does not count.
func readSecret(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if data = bytes.TrimRight(data, "\r\n"); len(data) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return data, nil
}

// mac returns the HMAC of a list of strings.
func (a *auth) mac(parts ...string) [32]byte {
	h := hmac.New(sha256.New, a.key[:])
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return [32]byte(h.Sum(nil))
}

func equal(a, b [32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

var errPassword = unauthorized("Name or password is incorrect.")

// login returns the user that name and password are those of, and a
// fingerprint that changes with the password.
func (c *call) login(name, password string) (user, [32]byte, error) {
	if acc, ok := c.auth.accounts[name]; ok {
		if !equal(acc.mac, c.auth.mac("password", password)) {
			return user{}, [32]byte{}, errPassword
		}
		return acc.user, acc.mac, nil
	}
	cred, err := c.credentials(name)
	if err != nil {
		return user{}, [32]byte{}, err
	}
	ok, err := c.verify(cred, password)
	if err != nil {
		return user{}, [32]byte{}, err
	}
	if !ok {
		return user{}, [32]byte{}, errPassword
	}
	return cred.user, cred.fingerprint, nil
}

// verify checks a password against a document of _users. The slow part is done
// once for each password, and by few requests at a time.
func (c *call) verify(cred credentials, password string) (bool, error) {
	a := c.auth
	key := a.mac("verified", cred.user.Name, password, string(cred.fingerprint[:]))
	a.mu.Lock()
	known := a.verified[key]
	a.mu.Unlock()
	if known {
		return true, nil
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-c.ctx().Done():
		return false, c.ctx().Err()
	}
	if !cred.check(password) {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verified) >= maxVerified {
		clear(a.verified)
	}
	a.verified[key] = true
	return true, nil
}

// authenticate returns who sent the request. A wrong password or cookie is an
// error whatever is asked for.
func (c *call) authenticate() (user, error) {
	if u, ok := c.ctx().Value(identity{}).(user); ok {
		return u, nil
	}
	if u, ok, err := c.passed(); ok {
		return u, err
	}
	if u, ok := c.proxied(); ok {
		return u, nil
	}
	if name, password, ok := c.r.BasicAuth(); ok {
		u, _, err := c.login(name, password)
		u.handler = "default"
		return u, err
	}
	if c.r.Header.Get("Authorization") != "" {
		return user{}, unauthorized("Only basic and cookie authentication are offered.")
	}
	if cookie, err := c.r.Cookie(cookieName); err == nil && cookie.Value != "" {
		return c.resume(cookie.Value)
	}
	return user{}, nil
}

// fingerprintOf returns what a session of name depends on.
func (c *call) fingerprintOf(name string) (user, [32]byte, error) {
	if acc, ok := c.auth.accounts[name]; ok {
		return acc.user, acc.mac, nil
	}
	cred, err := c.credentials(name)
	return cred.user, cred.fingerprint, err
}

// view opens a view of the store. The caller closes it.
func (c *call) view() *store.View { return c.store.View() }
