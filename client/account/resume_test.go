package account_test

import (
	"testing"

	"leap.example/client/control"
	"leap.example/services/protocol/problem"
)

// TestResume has one daemon take the place of another: an account that was open is open
// again without the password and without the network, and one that was locked is not.
func TestResume(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "resume")
	before, err := d.Mail(t.Context())
	check(t, err)
	again := func() {
		t.Helper()
		d.stop()
		d.kept = d.Kept()
		d.start(t)
		check(t, d.resumed)
	}

	d.wire.pull()
	again()
	d.state(t, control.StateOffline)
	after, err := d.Mail(t.Context())
	check(t, err)
	if after != before {
		t.Errorf("the mail program's settings were %+v, now %+v", before, after)
	}
	check(t, d.send(t, "during"))
	d.wire.plug()
	d.state(t, control.StateOnline)
	d.has(t, "INBOX", "during")

	// What opened it with the password that it had opens it no more.
	again()
	old := d.kept
	d.state(t, control.StateOnline)
	check(t, d.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}))
	d.stop()
	now := d.Kept()
	d.kept = old
	d.start(t)
	is(t, "what was kept before a change of password", d.resumed, problem.Unauthenticated)
	d.state(t, control.StateLocked)
	d.stop()
	d.kept = now
	d.start(t)
	check(t, d.resumed)
	d.state(t, control.StateOnline)

	check(t, d.Lock(t.Context()))
	again()
	if d.kept != nil {
		t.Error("a locked account is handed over")
	}
	d.state(t, control.StateLocked)
	check(t, d.unlock(t, another))
}
