package imapd_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/client/mailstore"
	"leap.example/client/soledad"
)

// An mbsync is isync's program with a configuration and a maildir of its own.
type mbsync struct {
	dir, config string
}

func newMbsync(t *testing.T, dir, addr string) mbsync {
	t.Helper()
	if _, err := exec.LookPath("mbsync"); err != nil {
		t.Skip("mbsync is not installed: apt-get install isync")
	}
	host, port, _ := strings.Cut(addr, ":")
	m := mbsync{dir, filepath.Join(dir, "mbsyncrc")}
	config := fmt.Sprintf(`
SyncState *
IMAPAccount leap
Host %s
Port %s
User alice@leap.example
Pass %s
SSLType None
AuthMechs LOGIN
Timeout 60

IMAPStore far
Account leap

MaildirStore near
Path %s/mail/
Inbox %s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Expunge Both
`, host, port, password, dir, dir)
	check(t, os.WriteFile(m.config, []byte(config), 0o600))
	check(t, os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	return m
}

// run synchronises and returns the CPU time that mbsync took.
func (m mbsync) run(t *testing.T) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mbsync", "-c", m.config, "all")
	cmd.Env = append(os.Environ(), "HOME="+m.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mbsync: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "Password is being sent in the clear") && !strings.HasPrefix(line, "Maildir notice") {
			t.Errorf("mbsync says: %s", line)
		}
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// files returns the message files of a folder, without their directory.
func (m mbsync) files(t *testing.T, folder string) []string {
	t.Helper()
	var names []string
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(m.dir, "mail", folder, sub))
		check(t, err)
		for _, e := range list {
			names = append(names, filepath.Join(m.dir, "mail", folder, sub, e.Name()))
		}
	}
	return names
}

// bySubject returns path and flags of each message of a folder.
func (m mbsync) bySubject(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range m.files(t, folder) {
		data, err := os.ReadFile(name)
		check(t, err)
		_, subject, _ := strings.Cut(string(data), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\n")
		found[strings.TrimSpace(subject)] = name
	}
	return found
}

func maildirFlags(name string) string {
	_, flags, _ := strings.Cut(filepath.Base(name), ":2,")
	return flags
}

// cpu returns the CPU time of this process: the server's side.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestMbsync(t *testing.T) {
	const n = 500
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	var w world
	body := strings.Repeat("some words of a message of the usual length\n", 220)
	var m mbsync
	t.Run("pull, change both sides", func(t *testing.T) {
		w = startAt(t, path)
		m = newMbsync(t, dir, w.addr)
		check(t, w.docs.Update(t.Context(), func(tx *soledad.Tx) error {
			for i := range n {
				raw := strings.ReplaceAll(fmt.Sprintf("From: b@leap.example\nSubject: m%d\nMessage-ID: <m%d@leap.example>\n\n%s", i, i, body), "\n", "\r\n")
				msg := mailstore.Message{Mailbox: "INBOX", Raw: []byte(raw), Date: time.Unix(1700000000+int64(i), 0)}
				if i%2 == 0 {
					msg.Flags = []string{`\Seen`, `\Flagged`}
				}
				if _, err := w.mail.Add(tx, msg); err != nil {
					return err
				}
			}
			return nil
		}))
		before, begin := cpu(), time.Now()
		took := m.run(t)
		t.Logf("pull of %d: CPU %v mbsync, %v server; %v in all", n, took, cpu()-before, time.Since(begin))
		local := m.bySubject(t, "INBOX")
		if len(local) != n {
			t.Fatalf("%d messages arrived, want %d", len(local), n)
		}
		if a, b := maildirFlags(local["m0"]), maildirFlags(local["m1"]); a != "FS" || b != "" {
			t.Errorf("flags arrived as %q and %q, want FS and none", a, b)
		}
		if data, err := os.ReadFile(local["m0"]); err != nil || !strings.Contains(string(data), body) {
			t.Errorf("message m0 has %d bytes, %v", len(data), err)
		}

		// Changes on the near side: a flag, a deletion, a new message.
		check(t, os.Rename(local["m1"], strings.Replace(local["m1"], "/new/", "/cur/", 1)+suffix(local["m1"], "RS")))
		check(t, os.Remove(local["m2"]))
		check(t, os.WriteFile(filepath.Join(m.dir, "mail/INBOX/new/1700000000.x.host"), []byte("Subject: near\n\nhello\n"), 0o600))
		// And on the far side.
		inbox, err := w.mail.Mailbox(t.Context(), "INBOX")
		check(t, err)
		check(t, w.mail.SetFlags(t.Context(), inbox.ID, []uint32{1}, []string{`\Answered`}, []string{`\Flagged`}))
		_, err = w.mail.Move(t.Context(), inbox.ID, []uint32{4}, "Archive")
		check(t, err)
		w.add(t, "INBOX", text("far"))
		m.run(t)
		local = m.bySubject(t, "INBOX")
		if got := maildirFlags(local["m0"]); got != "RS" {
			t.Errorf("m0 has the flags %q, want RS", got)
		}
		for subject, want := range map[string]bool{"m3": false, "far": true, "near": true, "m2": false} {
			if _, ok := local[subject]; ok != want {
				t.Errorf("%s is here: %v, want %v", subject, ok, want)
			}
		}
		if _, ok := m.bySubject(t, "Archive")["m3"]; !ok {
			t.Error("the moved message did not arrive in Archive")
		}
		items, _, err := w.mail.Items(t.Context(), inbox.ID)
		check(t, err)
		if len(items) != n { // Two gone, two new.
			t.Errorf("%d messages far, want %d", len(items), n)
		}
		if got := fmt.Sprint(items[1].UID, items[1].Flags); got != `2 [\Answered \Seen]` {
			t.Errorf("m1 is %s far, want answered and seen", got)
		}

		noop(t, m)
	})
	if t.Failed() || m.dir == "" {
		return
	}
	t.Run("after a restart", func(t *testing.T) {
		w = startAt(t, path) // Another port, the same store.
		config, err := os.ReadFile(m.config)
		check(t, err)
		_, port, _ := strings.Cut(w.addr, ":")
		lines := strings.Split(string(config), "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Port ") })
		lines[i] = "Port " + port
		check(t, os.WriteFile(m.config, []byte(strings.Join(lines, "\n")), 0o600))
		noop(t, m)
	})
}

// noop synchronises once more: nothing may change.
func noop(t *testing.T, m mbsync) {
	t.Helper()
	list := func() []string {
		l := slices.Concat(m.files(t, "INBOX"), m.files(t, "Archive"))
		slices.Sort(l)
		return l
	}
	m.run(t) // Settles what the last run has renamed.
	files := list()
	before := cpu()
	took := m.run(t)
	t.Logf("no-op: CPU %v mbsync, %v server", took, cpu()-before)
	if again := list(); !slices.Equal(files, again) {
		t.Errorf("a run without changes made %d files of %d", len(again), len(files))
	}
}

// suffix returns what makes a maildir name carry the flags.
func suffix(name, flags string) string {
	if strings.Contains(name, ":2,") {
		return flags
	}
	return ":2," + flags
}
