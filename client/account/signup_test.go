package account_test

import (
	"os"
	"path/filepath"
	"testing"

	"leap.example/client/control"
	"leap.example/client/session"
	"leap.example/services/protocol/problem"
)

// TestLife goes through the states of an account.
func TestLife(t *testing.T) {
	w := newWorld(t)
	d, ctx := w.empty(t), t.Context()
	d.state(t, control.StateNoProvider)
	_, err := d.Mail(ctx)
	is(t, "mail without a provider", err, problem.Unauthenticated, `"leapc provider add DOMAIN"`)
	is(t, "login without a provider", d.unlock(t, password), problem.NotExist, `"leapc provider add DOMAIN"`)

	wrong := d.provider()
	wrong.Fingerprint = "SHA256: " + "ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12"
	_, err = d.AddProvider(ctx, wrong)
	is(t, "a wrong fingerprint", err, problem.Permission, "compare the fingerprint")
	wrong.Fingerprint = ""
	_, err = d.AddProvider(ctx, wrong)
	is(t, "no fingerprint for a private CA", err, problem.Permission, "--ca-fingerprint")
	wrong = d.provider()
	wrong.Domain = "nowhere.example"
	_, err = d.AddProvider(ctx, wrong)
	is(t, "an unknown provider", err, problem.Unavailable, "check the name and the network")
	d.state(t, control.StateNoProvider)

	p, err := d.AddProvider(ctx, d.provider())
	check(t, err)
	if p.Domain != w.at.Domain || p.Enrollment != "invite" || p.Fingerprint != w.at.Fingerprint {
		t.Errorf("the provider is %+v", p)
	}
	d.state(t, control.StateNoAccount)
	_, err = d.Keys(ctx)
	is(t, "keys without an account", err, problem.Unauthenticated, `"leapc signup NAME"`, `"leapc login NAME"`)
	is(t, "login without a name", d.unlock(t, password), problem.Invalid, `"leapc login NAME"`)
	is(t, "an unknown account", d.Login(ctx, control.Credentials{Login: name("nobody"), Password: password}), problem.Unauthenticated)

	login := name("life")
	q := control.Credentials{Login: login, Password: password}
	is(t, "sign-up without an invite", d.SignUp(ctx, q), problem.Invalid)
	q.Invite = w.at.Invite
	q.Login = login + "@elsewhere.example"
	is(t, "sign-up at another provider", d.SignUp(ctx, q), problem.Invalid, "elsewhere.example", "--home")
	q.Login = login + "@" + w.at.Domain // As people type it.
	check(t, d.SignUp(ctx, q))
	st := d.Status(ctx)
	if st.State != control.StateOnline || st.Address != login+"@demo.example" || st.Fingerprint == "" || st.Pending != 0 || st.Problem != "" || st.LastSync == nil {
		t.Errorf("after sign-up the status is %+v", st)
	}
	own, err := d.FindKey(ctx, st.Address)
	check(t, err)
	if !own.Own || own.Fingerprint != st.Fingerprint {
		t.Errorf("the own key is %+v", own)
	}
	is(t, "a second sign-up", d.SignUp(ctx, q), problem.Exist, "--home")
	is(t, "somebody else's login", d.Login(ctx, control.Credentials{Login: "x" + login, Password: password}), problem.Exist, "--home")
	_, err = d.AddProvider(ctx, d.provider())
	is(t, "a provider while open", err, problem.Exist, `"leapc logout"`)

	check(t, d.unlock(t, password)) // It is open already.
	is(t, "a wrong password while open", d.unlock(t, another), problem.Unauthenticated, "wrong password")
	d.state(t, control.StateOnline)
	check(t, d.Lock(ctx))
	check(t, d.Lock(ctx)) // It is locked already.
	d.state(t, control.StateLocked)
	_, err = d.Sync(ctx)
	is(t, "sync while locked", err, problem.Unauthenticated, `"leapc login"`)
	is(t, "a wrong password", d.unlock(t, another), problem.Unauthenticated, "wrong password")
	_, err = d.AddProvider(ctx, d.provider()) // Again: the same one.
	check(t, err)
	wrong = d.provider()
	wrong.Domain = "nowhere.example"
	_, err = d.AddProvider(ctx, wrong)
	is(t, "another provider", err, problem.Exist, "--home")
	check(t, d.unlock(t, password))
	d.state(t, control.StateOnline)

	// Somebody else wants the name.
	e := w.device(t)
	is(t, "a name that is taken", e.SignUp(ctx, q), problem.Exist, `"leapc login `+login+`"`)
	e.state(t, control.StateNoAccount)
}

// TestInterruptedSignUp checks that an account that was made at the provider,
// and is lost half way on the device, is finished by a login.
func TestInterruptedSignUp(t *testing.T) {
	w := newWorld(t)
	d, login := w.device(t), name("half")
	p, err := session.LoadProvider(session.Options{Dir: d.dir})
	check(t, err)
	defer p.Close()
	id, cred, err := p.SignUp(t.Context(), session.Account{Login: login, Invite: w.at.Invite}, password)
	check(t, err)
	// The device died here: there is nothing of the account on it.
	is(t, "sign-up again", d.SignUp(t.Context(), control.Credentials{Login: login, Password: password, Invite: w.at.Invite}),
		problem.Exist, `"leapc login `+login+`"`)
	check(t, d.Login(t.Context(), control.Credentials{Login: login, Password: password}))
	st := d.Status(t.Context())
	if st.State != control.StateOnline || st.Fingerprint == "" {
		t.Errorf("after the login the status is %+v", st)
	}
	check(t, d.send(t, "whole"))
	d.has(t, "INBOX", "whole")

	// Another one died after its vault was written, with half a store.
	e := w.device(t)
	_, _, err = session.CreateVault(filepath.Join(e.dir, "vault.json"), session.VaultOwner{Login: login, Domain: w.at.Domain, UserID: id}, cred)
	check(t, err)
	check(t, e.unlock(t, password))
	e.state(t, control.StateOnline)
	e.has(t, "INBOX", "whole")

	// And one lost its vault: its store opens no more, and is made anew.
	check(t, e.Lock(t.Context()))
	check(t, os.Remove(filepath.Join(e.dir, "vault.json")))
	e.state(t, control.StateNoAccount)
	check(t, e.Login(t.Context(), control.Credentials{Login: login, Password: password}))
	e.has(t, "INBOX", "whole")
}
