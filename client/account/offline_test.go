package account_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/control"
	"leap.example/services/protocol/problem"
)

// TestOffline checks that an account opens without its provider, that its mail
// is there, and that what is sent goes out when the provider is back.
func TestOffline(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "offline")
	check(t, d.send(t, "before"))
	d.has(t, "INBOX", "before")
	before, err := d.Mail(t.Context())
	check(t, err)

	check(t, d.Lock(t.Context()))
	d.stop() // A new start of the daemon, too.
	d.wire.pull()
	d.start(t)
	is(t, "a wrong password offline", d.unlock(t, another), problem.Unauthenticated, "wrong password", "must be asked")
	check(t, d.unlock(t, password))
	after, err := d.Mail(t.Context())
	check(t, err)
	if after != before {
		t.Errorf("the mail program's settings were %+v, now %+v", before, after)
	}
	d.has(t, "INBOX", "before")
	check(t, d.send(t, "during"))
	check(t, d.send(t, "during too"))
	d.has(t, "Sent", "during")
	st := d.wants(t, "the outbox holds two mails", func(s control.Status) bool {
		return s.State == control.StateOffline && s.Outbox == 2 && s.Pending > 0 && s.Problem != ""
	})
	if st.Fingerprint == "" {
		t.Errorf("offline the own key is not shown: %+v", st)
	}
	_, err = d.Sync(t.Context())
	is(t, "sync offline", err, problem.Unavailable)
	is(t, "a new password offline", d.ChangePassword(t.Context(), control.PasswordChange{Old: password, New: another}), problem.Unavailable)

	d.wire.plug()
	_, err = d.Sync(t.Context()) // The user sees the network first.
	check(t, err)
	d.has(t, "INBOX", "during")
	d.has(t, "INBOX", "during too")
	d.wants(t, "all is sent", func(s control.Status) bool {
		return s.State == control.StateOnline && s.Outbox == 0 && s.Pending == 0 && s.Problem == ""
	})

	// Pulled while it is open, and back without anybody's doing.
	d.wire.pull()
	d.state(t, control.StateOffline)
	check(t, d.send(t, "again"))
	d.wire.plug()
	d.has(t, "INBOX", "again")
	d.state(t, control.StateOnline)
}

// TestPorts checks what happens when somebody else has the mail program's port.
func TestPorts(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "ports")
	m, err := d.Mail(t.Context())
	check(t, err)
	check(t, d.Lock(t.Context()))
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", m.IMAP.Port))
	check(t, err)
	is(t, "login while the port is taken", d.unlock(t, password), problem.Unavailable, fmt.Sprintf("port %d", m.IMAP.Port), "log in again")
	d.state(t, control.StateLocked)
	check(t, ln.Close())
	check(t, d.unlock(t, password))
	again, err := d.Mail(t.Context())
	check(t, err)
	if again != m {
		t.Errorf("the settings were %+v, now %+v", m, again)
	}

	// Damaged files say how to go on.
	check(t, d.Lock(t.Context()))
	for file, says := range map[string]string{
		"device.json":   "remove it",
		"vault.json":    "restore it from a backup; or remove it",
		"provider.json": "leapc provider add",
	} {
		path := filepath.Join(d.dir, file)
		sound, err := os.ReadFile(path)
		check(t, err)
		check(t, os.WriteFile(path, sound[:len(sound)/2], 0o600))
		d.stop()
		d.start(t)
		is(t, file+" cut short", d.unlock(t, password), problem.Invalid, says)
		if st := d.Status(t.Context()); st.Problem == "" && file != "device.json" {
			t.Errorf("%s cut short: the status is %+v", file, st)
		}
		check(t, os.WriteFile(path, sound, 0o600))
	}
	d.stop()
	d.start(t)
	check(t, d.unlock(t, password))
}

// TestProviderForgets empties the account's database at the provider, as a
// restored backup or a malicious provider does: the device keeps what it has,
// says so, and does not begin a new life there.
func TestProviderForgets(t *testing.T) {
	w := newWorld(t)
	d, _ := w.member(t, "forget")
	d.draft(t, "dear to me")
	d.wants(t, "all is sent", func(s control.Status) bool { return s.Pending == 0 })
	db, id := w.database(t), d.owner(t).UserID
	check(t, db.UserDBs().Destroy(t.Context(), id))
	check(t, db.UserDBs().Create(t.Context(), id))

	_, err := d.Sync(t.Context())
	is(t, "sync with an emptied database", err, problem.Stale, "keeps all that it has", "tell your provider")
	check(t, d.Lock(t.Context()))
	check(t, d.unlock(t, password))
	d.wants(t, "the user is told", func(s control.Status) bool {
		return s.State == control.StateOffline && strings.Contains(s.Problem, "lost the account's key ring")
	})
	d.has(t, "Drafts", "dear to me")
	if _, err := db.UserDBs().Open(id).Get(t.Context(), "keyring"); !errors.Is(err, problem.NotExist) {
		t.Errorf("the key ring at the provider: %v, want none", err)
	}
}
