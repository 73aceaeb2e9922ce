package imapd_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"leap.example/client/mailstore"
)

func TestLogin(t *testing.T) {
	w := start(t)
	c, err := imapclient.DialInsecure(w.addr, nil)
	check(t, err)
	defer c.Close()
	if err := c.Login("alice@leap.example", "wrong").Wait(); err == nil {
		t.Error("a wrong password was taken")
	}
	if err := c.Login("bob@leap.example", password).Wait(); err == nil {
		t.Error("a wrong user was taken")
	}
	check(t, c.Login("Alice@leap.example", password).Wait())
	caps, err := c.Capability().Wait()
	check(t, err)
	for _, want := range []imap.Cap{"IMAP4rev1", "NAMESPACE", "UIDPLUS", "MOVE", "SPECIAL-USE", "IDLE", "LIST-STATUS"} {
		if !caps.Has(want) {
			t.Errorf("no %s among %v", want, caps)
		}
	}
	if limit, ok := caps.AppendLimit(); !ok || limit == nil || *limit != mailstore.MaxMessage {
		t.Errorf("APPENDLIMIT %v", limit)
	}
	ns, err := c.Namespace().Wait()
	if err != nil || len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("namespace %+v, %v", ns, err)
	}
}

func TestMailboxes(t *testing.T) {
	w := start(t)
	c := w.dial(t, nil)
	check(t, c.Create("Work/Taxes 2026/", nil).Wait())
	check(t, c.Unsubscribe("Work").Wait())
	w.add(t, "Work/Taxes 2026", text("a"), `\Seen`)
	list, err := c.List("", "*", &imap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: true, ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true}}).Collect()
	check(t, err)
	var got []string
	for _, m := range list {
		got = append(got, fmt.Sprint(m.Mailbox, m.Attrs, *m.Status.NumMessages, *m.Status.NumUnseen))
	}
	want := []string{
		`Archive[\Archive \Subscribed \HasNoChildren] 0 0`,
		`Drafts[\Drafts \Subscribed \HasNoChildren] 0 0`,
		`INBOX[\Subscribed \HasNoChildren] 0 0`,
		`Sent[\Sent \Subscribed \HasNoChildren] 0 0`,
		`Trash[\Trash \Subscribed \HasNoChildren] 0 0`,
		`Work[\HasChildren] 0 0`,
		`Work/Taxes 2026[\Subscribed \HasNoChildren] 1 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("list:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, tt := range []struct {
		ref, pattern string
		opt          imap.ListOptions
		want         string
	}{
		{"", "%", imap.ListOptions{SelectSubscribed: true}, "[Archive Drafts INBOX Sent Trash]"},
		{"", "%", imap.ListOptions{SelectSubscribed: true, SelectRecursiveMatch: true}, "[Archive Drafts INBOX Sent Trash Work]"},
		{"Work", "%", imap.ListOptions{}, "[Work/Taxes 2026]"},
		{"", "inbox", imap.ListOptions{}, "[INBOX]"},
		{"", "*", imap.ListOptions{SelectSpecialUse: true}, "[Archive Drafts Sent Trash]"},
	} {
		list, err := c.List(tt.ref, tt.pattern, &tt.opt).Collect()
		check(t, err)
		var names []string
		for _, m := range list {
			names = append(names, m.Mailbox)
		}
		if fmt.Sprint(names) != tt.want {
			t.Errorf("LIST %q %q %+v = %v, want %s", tt.ref, tt.pattern, tt.opt, names, tt.want)
		}
	}
	check(t, c.Rename("Work", "Büro", nil).Wait())
	if st, err := c.Status("Büro/Taxes 2026", &imap.StatusOptions{NumMessages: true, UIDNext: true, Size: true, NumDeleted: true}).Wait(); err != nil || *st.NumMessages != 1 || st.UIDNext != 2 {
		t.Errorf("status %+v, %v", st, err)
	}
	for name, err := range map[string]error{
		"create a mailbox that exists": c.Create("inbox", nil).Wait(),
		"delete INBOX":                 c.Delete("INBOX").Wait(),
		"delete with others below":     c.Delete("Büro").Wait(),
		"rename Sent":                  c.Rename("Sent", "x", nil).Wait(),
		"select what is not there":     func() error { _, err := c.Select("Work", nil).Wait(); return err }(),
		"a name with a wildcard":       c.Create("a*", nil).Wait(),
	} {
		if err == nil {
			t.Errorf("allowed: %s", name)
		}
	}
	check(t, c.Delete("Büro/Taxes 2026").Wait())
	if st, err := w.mail.Status(t.Context(), "Trash"); err != nil || st.Messages != 1 {
		t.Errorf("after deleting a mailbox the trash has %+v, %v", st, err)
	}
}

func TestFetchIsExact(t *testing.T) {
	w := start(t)
	inner := "Subject: in\nX: y\n\ninner text\n"
	raw := "From: Bob <bob@leap.example>\nSUBJECT:   odd   spacing\nX-Empty:\nfolded: a\n\tb\nContent-Type: multipart/mixed; boundary=b\n\npre\n" +
		"--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: message/rfc822\n\n" + inner + "--b\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--b--\nepilogue \n"
	w.add(t, "INBOX", raw)
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	c := w.dial(t, nil)
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	for _, tt := range []struct {
		name string
		item imap.FetchItemBodySection
		want string
	}{
		{"whole", imap.FetchItemBodySection{}, crlf(raw)},
		{"header", imap.FetchItemBodySection{Specifier: "HEADER"}, crlf(raw[:strings.Index(raw, "pre\n")])},
		{"text", imap.FetchItemBodySection{Specifier: "TEXT"}, crlf(raw[strings.Index(raw, "pre\n"):])},
		{"fields", imap.FetchItemBodySection{Specifier: "HEADER", HeaderFields: []string{"Subject", "Folded", "None"}}, "SUBJECT:   odd   spacing\r\nfolded: a\r\n\tb\r\n\r\n"},
		{"fields not", imap.FetchItemBodySection{Specifier: "HEADER", HeaderFieldsNot: []string{"from", "Subject", "content-type"}}, "X-Empty:\r\nfolded: a\r\n\tb\r\n\r\n"},
		{"part", imap.FetchItemBodySection{Part: []int{1}}, "plain"},
		{"part's header", imap.FetchItemBodySection{Part: []int{1}, Specifier: "MIME"}, "Content-Type: text/plain\r\n\r\n"},
		{"embedded message", imap.FetchItemBodySection{Part: []int{2}}, strings.TrimSuffix(crlf(inner), "\r\n")},
		{"its header", imap.FetchItemBodySection{Part: []int{2}, Specifier: "HEADER"}, "Subject: in\r\nX: y\r\n\r\n"},
		{"its text", imap.FetchItemBodySection{Part: []int{2, 1}}, "inner text"},
		{"no part", imap.FetchItemBodySection{Part: []int{4}}, ""},
		{"no part of a part", imap.FetchItemBodySection{Part: []int{1, 1}}, ""},
		{"piece", imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 6, Size: 3}}, "Bob"},
		{"piece beyond", imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 1 << 40, Size: 3}}, ""},
	} {
		tt.item.Peek = true
		msgs, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{&tt.item}}).Collect()
		check(t, err)
		if got := string(msgs[0].BodySection[0].Bytes); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	msgs, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, InternalDate: true, RFC822Size: true, Flags: true, UID: true,
		BinarySection: []*imap.FetchItemBinarySection{{Part: []int{3}, Peek: true}},
	}).Collect()
	check(t, err)
	m := msgs[0]
	if m.Envelope.Subject != "odd   spacing" || len(m.Envelope.From) != 1 || m.Envelope.From[0].Addr() != "bob@leap.example" {
		t.Errorf("envelope %+v", m.Envelope)
	}
	var types []string
	m.BodyStructure.Walk(func(path []int, p imap.BodyStructure) bool {
		types = append(types, fmt.Sprint(path, p.MediaType()))
		return true
	})
	if got := strings.Join(types, " "); got != "[]multipart/mixed [1]text/plain [2]message/rfc822 [3]application/x" {
		t.Errorf("structure %s", got)
	}
	if m.RFC822Size != int64(len(crlf(raw))) || m.UID != 1 || m.InternalDate.Unix() != 1700000000 || len(m.Flags) != 0 {
		t.Errorf("size %d, UID %d, date %v, flags %v", m.RFC822Size, m.UID, m.InternalDate, m.Flags)
	}
	if got := string(m.BinarySection[0].Bytes); got != "hello" {
		t.Errorf("binary %q", got)
	}
}

func TestFetchOfMalformedMessages(t *testing.T) {
	w := start(t)
	for _, raw := range []string{
		"", "\n", "no header at all", "Content-Type: multipart/mixed; boundary=b\n\nno parts",
		"Content-Type: multipart/mixed\n\nx", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA",
		"Content-Type: text/plain; charset=\"a\\\"b\x00c\"\nSubject: \x00\xff\n\n\x00",
		"From: a@b, \"c\\\"d\"@e, group: f@g;, (\nIn-Reply-To: <a> <b\nDate: never\n\n",
	} {
		w.add(t, "INBOX", raw)
	}
	c := w.dial(t, nil)
	_, err := c.Select("INBOX", nil).Wait()
	check(t, err)
	var all imap.SeqSet
	all.AddRange(1, 0)
	msgs, err := c.Fetch(all, &imap.FetchOptions{Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{}}}).Collect()
	check(t, err)
	if len(msgs) != 8 {
		t.Errorf("%d messages", len(msgs))
	}
}

func TestAppendAndSeen(t *testing.T) {
	w := start(t)
	c := w.dial(t, nil)
	raw := []byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789\r\n", 20000))
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	cmd := c.Append("Drafts", int64(len(raw)), &imap.AppendOptions{Flags: []imap.Flag{`\DRAFT`, "$MyTag"}, Time: when})
	if _, err := cmd.Write(raw); err != nil {
		t.Fatal(err)
	}
	check(t, cmd.Close())
	data, err := cmd.Wait()
	check(t, err)
	m, err := w.mail.Mailbox(t.Context(), "Drafts")
	check(t, err)
	if data.UID != 1 || data.UIDValidity != m.UIDValidity {
		t.Errorf("APPENDUID %+v, want 1 in %d", data, m.UIDValidity)
	}
	sel, err := c.Select("Drafts", nil).Wait()
	check(t, err)
	if sel.NumMessages != 1 || sel.UIDValidity != m.UIDValidity || sel.UIDNext != 2 || !slices.Contains(sel.Flags, "$MyTag") {
		t.Errorf("select %+v", sel)
	}
	msgs, err := c.Fetch(imap.UIDSetNum(1), &imap.FetchOptions{InternalDate: true, BodySection: []*imap.FetchItemBodySection{{}}}).Collect()
	check(t, err)
	if !bytes.Equal(msgs[0].BodySection[0].Bytes, raw) || !msgs[0].InternalDate.Equal(when) {
		t.Errorf("fetched %d bytes of %v", len(msgs[0].BodySection[0].Bytes), msgs[0].InternalDate)
	}
	if got := fmt.Sprint(msgs[0].Flags); got != `[$MyTag \Draft \Seen]` {
		t.Errorf("flags after reading: %s", got)
	}
	bad := c.Append("Nowhere", 3, nil)
	io.WriteString(bad, "x\r\n")
	bad.Close()
	if _, err := bad.Wait(); err == nil || !strings.Contains(err.Error(), "TRYCREATE") {
		t.Errorf("append to nowhere: %v", err)
	}
}
