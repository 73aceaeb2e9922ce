package mailstore_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/client/mailstore"
	"leap.example/client/mailstore/flags"
	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

func TestAppendAndRead(t *testing.T) {
	s, _ := open(t)
	raw := message("hello", "body")
	add(t, s, "inbox", raw, `\seen`, "$Label")
	big := slices.Concat(message("big", ""), bytes.Repeat([]byte("0123456789abcdef\r\n"), 10000))
	add(t, s, "INBOX", big)
	items, _, err := s.Items(t.Context(), id(t, s, "INBOX"))
	check(t, err)
	if len(items) != 2 || items[0].UID != 1 || items[1].UID != 2 || !slices.Equal(items[0].Flags, []string{"$Label", `\Seen`}) {
		t.Fatalf("items = %+v", items)
	}
	if items[0].Size != int64(len(raw)) || items[0].Date.Unix() != 1700000000 {
		t.Errorf("size %d, date %v", items[0].Size, items[0].Date)
	}
	for i, want := range [][]byte{raw, big} {
		got, err := s.Raw(t.Context(), items[i])
		check(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("message %d differs", i)
		}
		head, err := s.Head(t.Context(), items[i])
		check(t, err)
		if !bytes.HasPrefix(want, head) || !bytes.HasSuffix(head, []byte("+0100\r\n\r\n")) {
			t.Errorf("head %d = %q", i, head)
		}
	}
	st, err := s.Status(t.Context(), "INBOX")
	check(t, err)
	if st.Messages != 2 || st.Unseen != 1 || st.Size != int64(len(raw)+len(big)) || st.UIDNext != 3 || st.UIDValidity == 0 {
		t.Errorf("status = %+v", st)
	}
}

func TestAppendErrors(t *testing.T) {
	s, _ := open(t)
	for _, tt := range []struct {
		name, mailbox string
		flags         []string
		raw           []byte
		want          problem.Kind
	}{
		{"no such mailbox", "Nowhere", nil, nil, problem.NotExist},
		{"recent", "INBOX", []string{`\Recent`}, nil, problem.Invalid},
		{"many flags", "INBOX", make([]string, 65), nil, problem.Limit},
		{"huge", "INBOX", nil, make([]byte, mailstore.MaxMessage+1), problem.Limit},
	} {
		_, _, err := s.Append(t.Context(), tt.mailbox, tt.raw, tt.flags, time.Now(), mailstore.AppendOptions{})
		if problem.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestStableID(t *testing.T) {
	s, _ := open(t)
	opt := mailstore.AppendOptions{ID: "queue1", IfAbsent: true}
	for range 2 {
		uid, got, err := s.Append(t.Context(), "INBOX", message("a", "b"), nil, time.Now(), opt)
		if err != nil || uid != 1 || got != "queue1" {
			t.Errorf("uid %d, id %s, %v", uid, got, err)
		}
	}
	if _, _, err := s.Append(t.Context(), "INBOX", nil, nil, time.Now(), mailstore.AppendOptions{ID: "queue1"}); problem.KindOf(err) != problem.Exist {
		t.Errorf("second append without IfAbsent: %v", err)
	}
	box := id(t, s, "INBOX")
	check(t, s.SetFlags(t.Context(), box, []uint32{1}, []string{flags.Deleted}, nil))
	_, err := s.Expunge(t.Context(), box, []uint32{1})
	check(t, err)
	if uid, _, err := s.Append(t.Context(), "INBOX", message("a", "b"), nil, time.Now(), opt); uid != 0 || err != nil {
		t.Errorf("an expunged message came back with UID %d, %v", uid, err)
	}
}

func TestFlagsCopyMoveExpunge(t *testing.T) {
	s, _ := open(t)
	for i := range 4 {
		add(t, s, "INBOX", message(fmt.Sprint(i), "body"))
	}
	box := id(t, s, "INBOX")
	check(t, s.SetFlags(t.Context(), box, []uint32{1, 2, 9}, []string{`\SEEN`, `\Deleted`}, nil))
	check(t, s.ReplaceFlags(t.Context(), box, []uint32{2}, []string{`\flagged`}))
	c, err := s.Copy(t.Context(), box, []uint32{1, 2}, "Archive")
	check(t, err)
	if !slices.Equal(c.From, []uint32{1, 2}) || !slices.Equal(c.To, []uint32{1, 2}) {
		t.Errorf("copied %+v", c)
	}
	c, err = s.Move(t.Context(), box, []uint32{3}, "Archive")
	check(t, err)
	if !slices.Equal(c.To, []uint32{3}) {
		t.Errorf("moved %+v", c)
	}
	gone, err := s.Expunge(t.Context(), box, []uint32{1, 2, 4})
	check(t, err)
	if !slices.Equal(gone, []uint32{1}) {
		t.Errorf("expunged %v, want only what is marked and named", gone)
	}
	want := "INBOX: 2[\\Flagged] 4[]\nArchive: 1[\\Deleted \\Seen] 2[\\Flagged] 3[]\n"
	if got := show(t, s, "INBOX", "Archive"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	items, _, err := s.Items(t.Context(), id(t, s, "Archive"))
	check(t, err)
	if raw, err := s.Raw(t.Context(), items[0]); err != nil || !bytes.Equal(raw, message("0", "body")) {
		t.Errorf("the copy of an expunged message: %q, %v", raw, err)
	}
	// Back again: a new UID, never the old one.
	check(t, s.SetFlags(t.Context(), id(t, s, "Archive"), []uint32{3}, []string{"x"}, nil))
	if c, err = s.Move(t.Context(), id(t, s, "Archive"), []uint32{3}, "INBOX"); err != nil || !slices.Equal(c.To, []uint32{5}) {
		t.Errorf("moved back %+v, %v", c, err)
	}
}

func TestChanges(t *testing.T) {
	s, _ := open(t)
	box := id(t, s, "INBOX")
	add(t, s, "INBOX", message("1", ""))
	add(t, s, "INBOX", message("2", ""))
	_, modseq, err := s.Items(t.Context(), box)
	check(t, err)
	watch, cancel := s.Watch()
	defer cancel()
	changes := func() string {
		t.Helper()
		items, next, err := s.Changes(t.Context(), box, modseq)
		check(t, err)
		modseq = next
		var out strings.Builder
		for _, it := range items {
			out.WriteString(fmt.Sprintf("%d%v%v ", it.UID, it.Flags, it.Gone))
		}
		return out.String()
	}
	if got := changes(); got != "" {
		t.Errorf("changes before any: %s", got)
	}
	add(t, s, "INBOX", message("3", ""))
	check(t, s.SetFlags(t.Context(), box, []uint32{1}, []string{flags.Seen}, nil))
	check(t, s.SetFlags(t.Context(), box, []uint32{1}, []string{flags.Seen}, nil))
	_, err = s.Move(t.Context(), box, []uint32{2}, "Trash")
	check(t, err)
	if got, want := changes(), `3[]false 1[\Seen]false 2[]true `; got != want {
		t.Errorf("changes = %s, want %s", got, want)
	}
	if got := changes(); got != "" {
		t.Errorf("changes told twice: %s", got)
	}
	select {
	case <-watch:
	default:
		t.Error("no signal")
	}
}

func TestUIDsSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var key [32]byte
	docs, err := soledad.Open(t.Context(), path, key)
	check(t, err)
	s, err := mailstore.New(t.Context(), docs)
	check(t, err)
	for i := range 3 {
		add(t, s, "INBOX", message(fmt.Sprint(i), ""))
	}
	_, err = s.Move(t.Context(), id(t, s, "INBOX"), []uint32{3}, "Sent")
	check(t, err)
	before, err := s.Mailbox(t.Context(), "INBOX")
	check(t, err)
	check(t, docs.Close())
	s, _ = reopen(t, path, key)
	after, err := s.Mailbox(t.Context(), "INBOX")
	check(t, err)
	if before != after {
		t.Errorf("mailbox became %+v, was %+v", after, before)
	}
	if uid := add(t, s, "INBOX", message("new", "")); uid != 4 {
		t.Errorf("next UID %d, want 4: that of a moved message is not used again", uid)
	}
}

func TestCollect(t *testing.T) {
	s, docs := open(t)
	for range 2 {
		add(t, s, "INBOX", message("x", ""), flags.Deleted)
	}
	box := id(t, s, "INBOX")
	_, err := s.Copy(t.Context(), box, []uint32{2}, "Archive")
	check(t, err)
	_, err = s.Expunge(t.Context(), box, []uint32{1, 2})
	check(t, err)
	now := time.Now()
	if n, err := s.Collect(t.Context(), now.Add(mailstore.Grace-time.Hour)); n != 0 || err != nil {
		t.Errorf("collected %d within the grace, %v", n, err)
	}
	if n, err := s.Collect(t.Context(), now.Add(mailstore.Grace+time.Hour)); n != 2 || err != nil {
		t.Errorf("collected %d, want 2, %v", n, err)
	}
	count := map[string]int{}
	check(t, docs.View(t.Context(), func(tx *soledad.Tx) error {
		for _, typ := range []string{"msg", "flags"} {
			if err := tx.Each(typ, func(soledad.Doc) error { count[typ]++; return nil }); err != nil {
				return err
			}
		}
		return nil
	}))
	if count["msg"] != 1 || count["flags"] != 1 {
		t.Errorf("documents left: %v, want the body that the copy has", count)
	}
	items, _, err := s.Items(t.Context(), id(t, s, "Archive"))
	check(t, err)
	if raw, err := s.Raw(t.Context(), items[0]); err != nil || !bytes.Equal(raw, message("x", "")) {
		t.Errorf("the copy: %q, %v", raw, err)
	}
}
