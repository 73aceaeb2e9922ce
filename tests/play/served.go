package play

import (
	"errors"

	"leap.example/client/session"
)

// Served asks for alice's account by all that stand before the database: a login and
// what it is good for, and her store. An error: one of them does not answer in time.
func (s *Story) Served() error {
	p, err := session.Bootstrap(s.Ctx, s.At.Bootstrap, session.Options{Resolver: s.At.Resolver, CAFingerprint: s.At.Fingerprint})
	if err != nil {
		return err
	}
	defer p.Close()
	one, err := p.Login(s.Ctx, session.Account{Login: s.alice.login}, s.alice.password)
	if err != nil {
		return err
	}
	_, err = one.Service(s.Ctx)
	if err := errors.Join(err, one.Logout(s.Ctx)); err != nil {
		return err
	}
	_, err = s.alice.leapc("", "sync")
	return err
}
