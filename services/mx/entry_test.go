package mx

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/services/mx/sender"
	"leap.example/services/protocol/smtpline"
)

var noon = time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)

func idOf(t *testing.T, from, raw, user, secret string, now time.Time) string {
	t.Helper()
	m, err := parse([]byte(strings.ReplaceAll(raw, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return entryID([]byte(secret), digestOf(from, m, now), user, now)
}

func TestEntryID(t *testing.T) {
	const raw = "From: a@b.example\nDate: Sun, 1 Mar 2026 13:30:00 +0100\nMessage-ID: <1@b.example>\nSubject: x\n\nbody\n"
	id := idOf(t, "a@b.example", raw, "u1", "s", noon)
	if id[:9] != "00078324-" || len(id) != 41 { // 2026-03-01 12:00 UTC in hours.
		t.Errorf("id %s", id)
	}
	for name, same := range map[string]string{
		"four days later": idOf(t, "a@b.example", raw, "u1", "s", noon.Add(96*time.Hour)),
		"more on the way": idOf(t, "a@b.example", "Received: from x by y\nDKIM-Signature: v=1\n"+raw, "u1", "s", noon),
	} {
		if same != id {
			t.Errorf("%s: id %s, want %s", name, same, id)
		}
	}
	all := []string{id}
	for name, other := range map[string]string{
		"sender":       idOf(t, "c@b.example", raw, "u1", "s", noon),
		"user":         idOf(t, "a@b.example", raw, "u2", "s", noon),
		"secret":       idOf(t, "a@b.example", raw, "u1", "S", noon),
		"body":         idOf(t, "a@b.example", raw+"more\n", "u1", "s", noon),
		"id":           idOf(t, "a@b.example", strings.Replace(raw, "1@", "2@", 1), "u1", "s", noon),
		"no id":        idOf(t, "a@b.example", strings.Replace(raw, "Message-ID", "X", 1), "u1", "s", noon),
		"no id, again": idOf(t, "a@b.example", strings.Replace(raw, "Message-ID", "X", 1), "u1", "s", noon),
	} {
		if slices.Contains(all, other) {
			t.Errorf("another %s gives the same id %s", name, other)
		}
		all = append(all, other)
	}
	// A Date field that cannot be true does not order entries.
	for _, date := range []string{"Sun, 1 Mar 1970 13:30:00 +0100", "Sun, 1 Mar 2036 13:30:00 +0100", "tomorrow"} {
		got := idOf(t, "", strings.Replace(raw, "Sun, 1 Mar 2026 13:30:00 +0100", date, 1), "u1", "s", noon)
		if got[:9] != "00078318-" { // 00:00.
			t.Errorf("date %q: id %s", date, got)
		}
	}
}

func TestForged(t *testing.T) {
	raw := strings.ReplaceAll(`Return-Path: <boss@example.org>
X-Leap-Signature: valid; pubkey="00"
x-leap-encryption: decrypted
Authentication-Results: mx.example.org; dmarc=pass
Authentication-Results: (really) EXAMPLE.org 1; dkim=pass
Authentication-Results: other.example.net; spf=pass
From: a@b.example
X-Leaping: kept

body
`, "\n", "\r\n")
	m, err := parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	got := string(m.stamped(trace{hostname: "mx.example.org", helo: "h", from: "x>y@z"}, sender.Verdict{}, []string{"example.org", "mx.example.org"}))
	_, got, _ = strings.Cut(got, "+0000\r\n")
	if want := "Authentication-Results: other.example.net; spf=pass\r\nFrom: a@b.example\r\nX-Leaping: kept\r\n\r\nbody\r\n"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// FuzzMessage: a message that is taken in is one message when it is stamped:
// it parses, has the same author and body, and no field that was forged.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{
		"From: a@b.example\r\n\r\nbody\r\n", "From: a@b.example\r\n", "From: a@b.example",
		"X-Leap-A: b\r\nFrom: a@b.example\r\n\r\n", "From: a@b.example\r\nDate: Sun, 1 Mar 2026 13:30:00 +0100\r\nMessage-ID: <1@2>\r\n\r\n.\r\n",
	} {
		f.Add([]byte(s), "from@example.net", "helo")
	}
	f.Fuzz(func(t *testing.T, raw []byte, from, helo string) {
		r := smtpline.NewReader(bytes.NewReader(raw), smtpline.Limits{})
		if n, err := r.Read(make([]byte, len(raw)+1)); n != len(raw) || err != nil && len(raw) > 0 {
			return
		}
		m, err := parse(raw)
		if err != nil || bytes.HasSuffix(raw, []byte("\r")) {
			return
		}
		id := entryID([]byte("s"), digestOf(from, m, noon), "u", noon)
		if len(id) != 41 {
			t.Fatalf("id %q", id)
		}
		tr := trace{hostname: "mx.example.org", helo: printable(helo), from: printable(from)}
		again, err := parse(m.stamped(tr, sender.Verdict{}, []string{"mx.example.org"}))
		if err != nil || again.author != m.author || !bytes.Equal(again.body, m.body) {
			t.Fatalf("%q became %+v, %v", raw, again, err)
		}
		for i, f := range again.header {
			if i > 1 && forged(f, []string{"mx.example.org"}) {
				t.Fatalf("%q went through", f.Raw)
			}
		}
	})
}
