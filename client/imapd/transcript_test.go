package imapd_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// script sends lines and returns what the server says until it says a word of
// the last line, its tag.
func (w world) script(tb testing.TB, lines ...string) string {
	tb.Helper()
	c, err := net.Dial("tcp", w.addr)
	check(tb, err)
	defer c.Close()
	check(tb, c.SetDeadline(time.Now().Add(20*time.Second)))
	lines = append([]string{`l LOGIN "alice@leap.example" "` + password + `"`}, lines...)
	_, err = io.WriteString(c, strings.Join(lines, "\r\n")+"\r\nz LOGOUT\r\n")
	check(tb, err)
	all, err := io.ReadAll(c)
	check(tb, err)
	_, all, _ = bytes.Cut(all, []byte("Logged in\r\n"))
	return strings.ReplaceAll(string(all), "\r\n", "\n")
}

func TestTranscripts(t *testing.T) {
	w := start(t)
	w.add(t, "INBOX", text("apple"))
	w.add(t, "INBOX", text("banana"), `\Deleted`)
	const bye = "* BYE Logging out\nz OK LOGOUT completed\n"
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // What comes after the answer to the first line.
	}{
		{"saved search", []string{"a EXAMINE INBOX", "b SEARCH RETURN (SAVE) SUBJECT nana", "c UID FETCH $ (FLAGS)", "d SEARCH RETURN (COUNT) NOT $"}, "* ESEARCH (TAG \"b\") ALL 2\nb OK SEARCH completed\n* 2 FETCH (UID 2 FLAGS (\\Deleted))\nc OK UID FETCH completed\n* ESEARCH (TAG \"d\") COUNT 1\nd OK SEARCH completed\n"},
		{"star and reversed ranges", []string{"a EXAMINE INBOX", "b UID FETCH *:1 (UID)", "c UID FETCH 9:* (UID)", "d FETCH 7 (UID)"}, "* 1 FETCH (UID 1)\n* 2 FETCH (UID 2)\nb OK UID FETCH completed\n* 2 FETCH (UID 2)\nc OK UID FETCH completed\nd OK FETCH completed\n"},
		{"old names", []string{"a EXAMINE INBOX", "b FETCH 1 (RFC822.SIZE RFC822.HEADER)", "c FETCH 1 FAST"}, ""},
		{"delimiter", []string{"a NOOP", `b LIST "" ""`, `c LSUB "" "Dr%"`}, "* LIST (\\Noselect) \"/\" \"\"\nb OK LIST completed\n* LSUB (\\Drafts \\Subscribed \\HasNoChildren) \"/\" \"Drafts\"\nc OK LSUB completed\n"},
		{"quota", []string{"a NOOP", "b STATUS INBOX (DELETED-STORAGE)"}, "b NO [CANNOT] there are no quotas\n"},
	} {
		got := "\n" + w.script(t, tt.lines...)
		_, got, _ = strings.Cut(got, "\na OK")
		_, got, _ = strings.Cut(got, "\n")
		if tt.want != "" && got != tt.want+bye {
			t.Errorf("%s:\n%s\nwant:\n%s", tt.name, got, tt.want+bye)
		}
		if strings.Contains(got, " BAD ") || strings.Contains(got, "Internal server error") {
			t.Errorf("%s:\n%s", tt.name, got)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	w := start(t)
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	refused := false
	for range 70 {
		c, err := net.Dial("tcp", w.addr)
		check(t, err)
		held = append(held, c)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			refused = true
			break
		}
	}
	if !refused || len(held) < 64 {
		t.Errorf("refused %v after %d", refused, len(held))
	}
}

// TestUIDPromises runs random commands of two programs and another device and
// checks after each what is promised of UIDs.
func TestUIDPromises(t *testing.T) {
	w := start(t)
	seen := map[uint32]string{} // UID in INBOX -> subject.
	known := func() {
		t.Helper()
		c := w.dial(t, nil)
		defer func() { check(t, c.Logout().Wait()) }()
		_, err := c.Select("INBOX", nil).Wait()
		check(t, err)
		msgs, err := c.Fetch(seqRange(1, 0), &imap.FetchOptions{UID: true, Envelope: true}).Collect()
		check(t, err)
		last := imap.UID(0)
		for _, m := range msgs {
			if m.UID <= last {
				t.Errorf("UID %d after %d", m.UID, last)
			}
			last = m.UID
			if old, ok := seen[uint32(m.UID)]; ok && old != m.Envelope.Subject {
				t.Errorf("UID %d was %s and is %s", m.UID, old, m.Envelope.Subject)
			}
			seen[uint32(m.UID)] = m.Envelope.Subject
		}
	}
	inbox, err := w.mail.Mailbox(t.Context(), "INBOX")
	check(t, err)
	trash, err := w.mail.Mailbox(t.Context(), "Trash")
	check(t, err)
	for i := range 12 {
		w.add(t, "INBOX", text(fmt.Sprint("m", i)))
		switch i % 4 {
		case 1:
			_, err = w.mail.Move(t.Context(), inbox.ID, []uint32{uint32(i)}, "Trash")
		case 2:
			_, err = w.mail.Move(t.Context(), trash.ID, []uint32{1, 2, 3}, "INBOX")
		case 3:
			check(t, w.mail.SetFlags(t.Context(), inbox.ID, []uint32{uint32(i), uint32(i + 1)}, []string{`\Deleted`}, nil))
			_, err = w.mail.Expunge(t.Context(), inbox.ID, []uint32{uint32(i)})
		}
		check(t, err)
		known()
	}
}
