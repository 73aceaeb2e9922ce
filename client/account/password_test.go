package account_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// TestPasswordChangedElsewhere changes the password on one device while the
// other is offline and has changes that nobody else has.
func TestPasswordChangedElsewhere(t *testing.T) {
	w := newWorld(t)
	laptop, login := w.member(t, "change")
	phone, tablet := w.second(t, login), w.second(t, login)
	check(t, tablet.Lock(t.Context()))
	phone.state(t, control.StateOnline)
	phone.wire.pull()
	phone.draft(t, "only here")
	is(t, "a wrong present password", laptop.ChangePassword(t.Context(), control.PasswordChange{Old: another, New: "x"}), problem.Unauthenticated)
	check(t, laptop.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}))
	laptop.state(t, control.StateOnline)

	phone.wire.plug()
	st := phone.wants(t, "the phone knows", func(s control.Status) bool { return strings.Contains(s.Problem, "another device") })
	if st.State != control.StateOffline || st.Pending == 0 || !strings.Contains(st.Problem, `"leapc login"`) {
		t.Errorf("the phone's status is %+v", st)
	}
	check(t, phone.unlock(t, password)) // It opens the vault, but not the account.
	_, err := phone.Sync(t.Context())
	is(t, "sync with the old password", err, problem.Unauthenticated, `"leapc login" with the new one`)
	phone.has(t, "Drafts", "only here")
	is(t, "neither password", phone.unlock(t, "nonsense"), problem.Unauthenticated, "wrong password")

	check(t, phone.unlock(t, another))
	phone.state(t, control.StateOnline)
	phone.has(t, "Drafts", "only here")
	laptop.has(t, "Drafts", "only here")

	// On the device that slept through it the old password still opens what is
	// there; the new one opens it for good.
	check(t, tablet.unlock(t, another))
	tablet.has(t, "Drafts", "only here")
	check(t, phone.Lock(t.Context()))
	is(t, "the old password", phone.unlock(t, password), problem.Unauthenticated, "wrong password")
	phone.wire.pull()
	check(t, phone.unlock(t, another))
	phone.has(t, "Drafts", "only here")
}

// TestPasswordAnswerLost loses the provider's answer to a change of password.
func TestPasswordAnswerLost(t *testing.T) {
	w := newWorld(t)
	d, login := w.member(t, "lost")
	db := w.database(t)
	before, err := db.Users().ByLogin(t.Context(), login)
	check(t, err)
	d.wire.mute(portOf(t, w.at.API))
	lost := make(chan error, 1)
	go func() { lost <- d.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}) }()
	until(t, "the provider has the new verifier", func() error {
		now, err := db.Users().ByLogin(t.Context(), login)
		if err == nil && now.PasswordVerifier == before.PasswordVerifier {
			err = problem.Stale
		}
		return err
	})
	d.wire.pull()
	is(t, "an answer that was lost", <-lost, problem.Unavailable, "not known", `"leapc login"`)
	d.wire.plug()

	// A daemon that dies here opens with either password, also offline. The
	// one that the provider has makes itself the only one.
	d.stop()
	d.wire.pull()
	d.start(t)
	check(t, d.unlock(t, password))
	check(t, d.unlock(t, another))
	check(t, d.unlock(t, password))
	d.wire.plug()
	// A login that was under way with the other one may win: then it is online.
	d.wants(t, "the old password is refused", func(s control.Status) bool {
		return strings.Contains(s.Problem, "another device") || s.State == control.StateOnline
	})
	check(t, d.unlock(t, another))
	d.state(t, control.StateOnline)
	check(t, d.Lock(t.Context()))
	is(t, "the old password", d.unlock(t, password), problem.Unauthenticated)
	check(t, d.unlock(t, another))
	// The ring opens with it too: on a device that is new.
	e := w.device(t)
	check(t, e.Login(t.Context(), control.Credentials{Login: login, Password: another}))
}

// TestFirstLoginTwice has two devices finish one account at the same time.
func TestFirstLoginTwice(t *testing.T) {
	w := newWorld(t)
	devices, login := []*device{w.device(t), w.device(t)}, name("twice")
	p, err := session.LoadProvider(session.Options{Dir: devices[0].dir})
	check(t, err)
	defer p.Close()
	_, _, err = p.SignUp(t.Context(), session.Account{Login: login, Invite: w.at.Invite}, password)
	check(t, err)
	errs := make(chan error)
	for _, d := range devices {
		go func() { errs <- d.Login(t.Context(), control.Credentials{Login: login, Password: password}) }()
	}
	for range devices {
		check(t, <-errs)
	}
	address, db := nick.Address(login+"@"+w.at.Domain), w.database(t)
	until(t, "both have one key, and the provider publishes it", func() error {
		a, b := devices[0].Status(t.Context()), devices[1].Status(t.Context())
		id, err := db.Identities().ByAddress(t.Context(), address)
		if err == nil && (a.Fingerprint == "" || a.Fingerprint != b.Fingerprint || a.Fingerprint != id.Fingerprint) {
			err = fmt.Errorf("the devices have %q and %q, the provider %q", a.Fingerprint, b.Fingerprint, id.Fingerprint)
		}
		return err
	})
	check(t, devices[0].send(t, "to both"))
	for _, d := range devices {
		d.has(t, "INBOX", "to both")
	}
}

// TestTokenExpired takes the session away at the provider, as it does itself
// after an idle hour.
func TestTokenExpired(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "token")
	db, id := w.database(t), d.owner(t).UserID
	check(t, db.Tokens().DeleteUser(t.Context(), id))
	_, err := d.Sync(t.Context())
	check(t, err)
	check(t, db.Tokens().DeleteUser(t.Context(), id))
	check(t, d.send(t, "renewed")) // The relay's certificate needs a token, too.
	d.has(t, "INBOX", "renewed")
	d.state(t, control.StateOnline)
	check(t, db.Tokens().DeleteUser(t.Context(), id))
	check(t, d.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}))
	d.state(t, control.StateOnline)
	check(t, db.Tokens().DeleteUser(t.Context(), id))
	check(t, d.DeleteAccount(t.Context(), control.Credentials{Password: another}))
	d.state(t, control.StateNoAccount)
}

// TestDelete deletes an account that two devices have.
func TestDelete(t *testing.T) {
	w := newWorld(t)
	d, login := w.member(t, "delete")
	other := w.second(t, login)
	is(t, "a wrong password", d.DeleteAccount(t.Context(), control.Credentials{Password: another}), problem.Unauthenticated, "wrong password")
	d.wire.pull()
	d.state(t, control.StateOffline)
	is(t, "offline", d.DeleteAccount(t.Context(), control.Credentials{Password: password}), problem.Unavailable)
	d.wire.plug()
	check(t, d.DeleteAccount(t.Context(), control.Credentials{Password: password}))
	d.state(t, control.StateNoAccount)
	left, err := filepath.Glob(filepath.Join(d.dir, "*"))
	check(t, err)
	if len(left) != 1 || filepath.Base(left[0]) != "provider.json" {
		t.Errorf("the account left %q behind", left)
	}
	st := other.wants(t, "the other device knows", func(s control.Status) bool { return strings.Contains(s.Problem, "refuses the login") })
	if st.State != control.StateOffline {
		t.Errorf("the other device's status is %+v", st)
	}
	is(t, "login", d.Login(t.Context(), control.Credentials{Login: login, Password: password}), problem.Unauthenticated)
	is(t, "the name again", d.SignUp(t.Context(), control.Credentials{Login: login, Password: password, Invite: w.at.Invite}), problem.Exist)
	check(t, d.SignUp(t.Context(), control.Credentials{Login: name("delete"), Password: password, Invite: w.at.Invite}))
}
