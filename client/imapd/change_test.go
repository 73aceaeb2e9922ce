package imapd_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

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
