package account_test

import (
	"errors"
	"strings"
	"testing"

	"leap.example/client/control"
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
	d.stop()
	old := d.Kept()
	d.start(t)
	d.state(t, control.StateOnline)
	check(t, d.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}))
	d.stop()
	now := d.Kept()
	d.kept = old
	d.start(t)
	until(t, "it says that it is locked", func() error {
		if !strings.Contains(d.logs.String(), "the account was open and is locked now") {
			return errors.New("not yet")
		}
		return nil
	})
	d.state(t, control.StateLocked)
	d.stop()
	d.kept = now
	d.start(t)
	d.state(t, control.StateOnline)

	check(t, d.Lock(t.Context()))
	again()
	if d.kept != nil {
		t.Error("a locked account is handed over")
	}
	d.state(t, control.StateLocked)
	check(t, d.unlock(t, another))
}
