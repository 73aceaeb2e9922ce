package imapd_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// A record keeps what the server tells unasked.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// take returns what was told, and forgets it.
func (r *record) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// wait returns once it has been told as many lines.
func (r *record) wait(tb testing.TB, n int) []string {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r.mu.Lock()
		got := len(r.lines)
		r.mu.Unlock()
		if got >= n {
			return r.take()
		}
		if time.Now().After(deadline) {
			tb.Fatalf("told %q, want %d lines", r.take(), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *record) options() *imapclient.Options {
	return &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(seq uint32) { r.add("%d EXPUNGE", seq) },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				r.add("%d EXISTS", *d.NumMessages)
			}
		},
		Fetch: func(m *imapclient.FetchMessageData) {
			if b, err := m.Collect(); err == nil {
				r.add("%d FETCH %d %v", b.SeqNum, b.UID, b.Flags)
			}
		},
	}}
}

func seqRange(a, b uint32) imap.SeqSet {
	var s imap.SeqSet
	s.AddRange(a, b)
	return s
}

func TestChangesAreTold(t *testing.T) {
	w := start(t)
	for i := range 4 {
		w.add(t, "INBOX", text(fmt.Sprint(i)))
	}
	var ra, rb record
	a, b := w.dial(t, ra.options()), w.dial(t, rb.options())
	for _, c := range []*imapclient.Client{a, b} {
		_, err := c.Select("INBOX", nil).Wait()
		check(t, err)
	}
	// A changes flags; it is told only what it did not do itself.
	check(t, a.Store(seqRange(1, 2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{`\seen`}}, nil).Close())
	check(t, a.Noop().Wait())
	if got := ra.take(); len(got) != 0 {
		t.Errorf("told of its own silent change: %q", got)
	}
	check(t, b.Noop().Wait())
	told := rb.wait(t, 2)
	slices.Sort(told) // The client hands them over on goroutines.
	if got, want := told, []string{`1 FETCH 1 [\Seen]`, `2 FETCH 2 [\Seen]`}; !slices.Equal(got, want) {
		t.Errorf("the other program was told %q, want %q", got, want)
	}
	// A expunges; B may not be told during FETCH, and its numbers stay.
	check(t, a.Store(imap.UIDSetNum(2, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{`\Deleted`}}, nil).Close())
	if _, err := a.UIDExpunge(imap.UIDSetNum(2)).Collect(); err != nil {
		t.Fatal(err)
	}
	msgs, err := b.Fetch(seqRange(2, 4), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true, Specifier: imap.PartSpecifierText}}}).Collect()
	check(t, err)
	var got []string
	for _, m := range msgs {
		got = append(got, fmt.Sprint(m.SeqNum, m.UID, strings.TrimSpace(string(m.BodySection[0].Bytes))))
	}
	if want := []string{"2 2body of 1", "3 3body of 2", "4 4body of 3"}; !slices.Equal(got, want) {
		t.Errorf("fetch before the expunge was told: %q, want %q", got, want)
	}
	rb.wait(t, 1) // Of the mark on message 3.
	w.add(t, "INBOX", text("new"))
	check(t, b.Noop().Wait())
	if got, want := rb.take(), []string{"2 EXPUNGE", "4 EXISTS"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestExpungeOnlyWhatWasNamed(t *testing.T) {
	w := start(t)
	for i := range 3 {
		w.add(t, "INBOX", text(fmt.Sprint(i)))
	}
	c := w.dial(t, nil)
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	check(t, c.Store(seqRange(1, 1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Deleted`}}, nil).Close())
	// Another device marks message 3; this program does not know.
	m, err := w.mail.Mailbox(t.Context(), "INBOX")
	check(t, err)
	check(t, w.mail.SetFlags(t.Context(), m.ID, []uint32{3}, []string{`\Deleted`}, nil))
	gone, err := c.Expunge().Collect()
	check(t, err)
	if !slices.Equal(gone, []uint32{1}) {
		t.Errorf("expunged %v, want only the message that the program marked", gone)
	}
	// Now it has been told, and says so again.
	check(t, c.Noop().Wait())
	check(t, c.UnselectAndExpunge().Wait())
	if st, err := w.mail.Status(t.Context(), "INBOX"); err != nil || st.Messages != 1 {
		t.Errorf("%d messages left, %v", st.Messages, err)
	}
}

func TestExamineChangesNothing(t *testing.T) {
	w := start(t)
	w.add(t, "INBOX", text("a"), `\Deleted`)
	c := w.dial(t, nil)
	sel, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	check(t, err)
	if len(sel.PermanentFlags) != 0 {
		t.Errorf("permanent flags %v", sel.PermanentFlags)
	}
	msgs, err := c.Fetch(seqRange(1, 1), &imap.FetchOptions{Flags: true, BodySection: []*imap.FetchItemBodySection{{}}}).Collect()
	check(t, err)
	if got := fmt.Sprint(msgs[0].Flags); got != `[\Deleted]` {
		t.Errorf("flags after reading: %s", got)
	}
	if err := c.Store(seqRange(1, 1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{`\Seen`}}, nil).Close(); err == nil {
		t.Error("STORE was allowed")
	}
	if _, err := c.Move(seqRange(1, 1), "Trash").Wait(); err == nil {
		t.Error("MOVE was allowed")
	}
	check(t, c.UnselectAndExpunge().Wait())
	if st, err := w.mail.Status(t.Context(), "INBOX"); err != nil || st.Messages != 1 {
		t.Errorf("%d messages left, %v", st.Messages, err)
	}
}

func TestCopyAndMove(t *testing.T) {
	w := start(t)
	for i := range 3 {
		w.add(t, "INBOX", text(fmt.Sprint(i)), "$Tag")
	}
	var r record
	c := w.dial(t, r.options())
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	data, err := c.Copy(seqRange(1, 2), "Archive").Wait()
	check(t, err)
	archive, err := w.mail.Mailbox(t.Context(), "Archive")
	check(t, err)
	if data.UIDValidity != archive.UIDValidity || data.SourceUIDs.String() != "1:2" || data.DestUIDs.String() != "1:2" {
		t.Errorf("COPYUID %+v", data)
	}
	moved, err := c.Move(imap.UIDSetNum(2), "Archive").Wait()
	check(t, err)
	if moved.UIDValidity != archive.UIDValidity || moved.SourceUIDs.String() != "2" || moved.DestUIDs.String() != "3" {
		t.Errorf("COPYUID of a move %+v", moved)
	}
	check(t, c.Noop().Wait())
	sel, err := c.Select("Archive", nil).Wait()
	check(t, err)
	if sel.NumMessages != 3 || !slices.Contains(sel.Flags, "$Tag") {
		t.Errorf("archive %+v", sel)
	}
	if _, err := c.Move(seqRange(1, 1), "Archive").Wait(); err == nil {
		t.Error("a move into the same mailbox was allowed")
	}
	if _, err := c.Copy(seqRange(1, 1), "Nowhere").Wait(); err == nil || !strings.Contains(err.Error(), "TRYCREATE") {
		t.Errorf("copy to nowhere: %v", err)
	}
	if _, err := c.Copy(seqRange(9, 9), "INBOX").Wait(); err != nil {
		t.Errorf("copy of nothing: %v", err)
	}
}

func TestIdle(t *testing.T) {
	w := start(t)
	w.add(t, "INBOX", text("a"))
	var r record
	c := w.dial(t, r.options())
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	r.take()
	idle, err := c.Idle()
	check(t, err)
	w.add(t, "INBOX", text("b"))
	if got := r.wait(t, 1); !slices.Equal(got, []string{"2 EXISTS"}) {
		t.Errorf("told %q", got)
	}
	m, err := w.mail.Mailbox(t.Context(), "INBOX")
	check(t, err)
	check(t, w.mail.SetFlags(t.Context(), m.ID, []uint32{2}, []string{`\Flagged`}, nil))
	if got := r.wait(t, 1); !slices.Equal(got, []string{`2 FETCH 2 [\Flagged]`}) {
		t.Errorf("told %q", got)
	}
	_, err = w.mail.Move(t.Context(), m.ID, []uint32{1}, "Trash")
	check(t, err)
	if got := r.wait(t, 1); !slices.Equal(got, []string{"1 EXPUNGE"}) {
		t.Errorf("told %q", got)
	}
	check(t, idle.Close())
	check(t, idle.Wait())
}

func TestSearch(t *testing.T) {
	w := start(t)
	w.add(t, "INBOX", text("apple"), `\Seen`)
	w.add(t, "INBOX", text("banana"))
	w.add(t, "INBOX", text("pineapple"), "$Tag")
	c := w.dial(t, nil)
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	for _, tt := range []struct {
		name string
		q    imap.SearchCriteria
		want string
	}{
		{"all", imap.SearchCriteria{}, "1:3"},
		{"subject", imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "APPLE"}}}, "1,3"},
		{"inside a word", imap.SearchCriteria{Body: []string{"nan"}}, "2"},
		{"two letters", imap.SearchCriteria{Text: []string{"pi"}}, "3"},
		{"unseen", imap.SearchCriteria{NotFlag: []imap.Flag{`\Seen`}}, "2:3"},
		{"keyword", imap.SearchCriteria{Flag: []imap.Flag{`$tag`}}, "3"},
		{"not", imap.SearchCriteria{Not: []imap.SearchCriteria{{Body: []string{"apple"}}}}, "2"},
		{"or", imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Body: []string{"banana"}}, {Flag: []imap.Flag{"$Tag"}}}}}, "2:3"},
		{"uids", imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(2, 9)}}, "2"},
		{"numbers", imap.SearchCriteria{SeqNum: []imap.SeqSet{seqRange(2, 0)}}, "2:3"},
		{"since", imap.SearchCriteria{Since: time.Unix(1800000000, 0)}, ""},
		{"larger", imap.SearchCriteria{Larger: 10}, "1:3"},
		{"no such text", imap.SearchCriteria{Text: []string{"zebra"}}, ""},
	} {
		data, err := c.UIDSearch(&tt.q, nil).Wait()
		check(t, err)
		if got := data.All.String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	data, err := c.Search(&imap.SearchCriteria{Body: []string{"apple"}}, &imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnCount: true}).Wait()
	check(t, err)
	if data.Min != 1 || data.Max != 3 || data.Count != 2 {
		t.Errorf("extended search %+v", data)
	}
}

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
