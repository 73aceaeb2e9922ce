package smtpd_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"leap.example/client/keymanager"
	"leap.example/client/mailmime"
	"leap.example/client/mailmime/autocrypt"
	"leap.example/client/mailmime/hp"
	"leap.example/client/mailmime/pgpmime"
	"leap.example/client/mailstore"
	"leap.example/client/smtpd"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

const letter = `From: Alice <alice@leap.example>
To: Bob <bob@leap.example>
Cc: carol@leap.example
Bcc: dan@elsewhere.example
Subject: canary subject
Date: Tue, 24 Nov 2026 23:30:00 +0500
User-Agent: Canary Mail 1.0
X-Mailer: canary
X-Leap-Signature: valid
Received: from [10.1.2.3] by canary
Message-ID: <1@canary-laptop.lan>
In-Reply-To: <before@leap.example>
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

canary body, café
`

func TestEncryptsToAGroup(t *testing.T) {
	w := start(t, nil)
	check(t, w.send(t, "alice@leap.example", []string{"bob@leap.example", "carol@leap.example"}, letter))
	got := w.relay.wait(t, 1)
	if len(got) != 1 || got[0].from != "alice@leap.example" || fmt.Sprint(got[0].to) != "[bob@leap.example carol@leap.example]" {
		t.Fatalf("the relay got %d messages, the first to %v", len(got), got[0].to)
	}
	raw := got[0].raw
	if bytes.Contains(bytes.ToLower(raw), []byte("canary")) {
		t.Errorf("the canary is visible:\n%s", raw)
	}
	if i := slices.IndexFunc(raw, func(c byte) bool { return c >= 0x80 }); i >= 0 {
		t.Errorf("not 7bit at %d", i)
	}
	p := mailmime.Parse(raw)
	h := p.Header
	if h.Get("Subject") != "[...]" || h.Get("From") != "Alice <alice@leap.example>" || h.Get("Date") != "Tue, 24 Nov 2026 18:30:00 +0000" {
		t.Errorf("outer header:\n%s", p.Head)
	}
	if id := h.Get("Message-ID"); !strings.HasSuffix(id, "@leap.example>") {
		t.Errorf("Message-ID %s", id)
	}
	own, err := w.keys.Own(t.Context())
	check(t, err)
	if k, ok := autocrypt.Of(h, "alice@leap.example"); !ok || !k.Mutual || !bytes.Equal(k.Data, own.Key().Binary) {
		t.Errorf("autocrypt %+v, %v", k, ok)
	}
	for name, other := range w.others {
		if _, _, err := other.keys.Find(t.Context(), "alice@leap.example"); err != nil {
			t.Fatal(err)
		}
		armored, ok := pgpmime.Encrypted(p)
		if !ok {
			t.Fatalf("not PGP/MIME:\n%s", raw)
		}
		plain, sig, err := other.keys.Decrypt(t.Context(), armored)
		check(t, err)
		if sig.State != keymanager.SigValid || sig.Fingerprint != own.Fingerprint() {
			t.Errorf("%s sees the signature %+v", name, sig)
		}
		inner := mailmime.Parse(plain)
		payload := hp.Unprotect(inner)
		if payload.Mode != hp.Cipher || payload.Fields.Get("Subject") != "canary subject" || payload.Outer.Get("Subject") != "[...]" {
			t.Errorf("payload of mode %q:\n%s", payload.Mode, plain)
		}
		if payload.Fields.Get("Bcc") != "" || payload.Fields.Get("User-Agent") != "" || payload.Fields.Get("In-Reply-To") != "<before@leap.example>" {
			t.Errorf("protected fields:\n%s", payload.Fields.Bytes())
		}
		if n := len(payload.Fields.All(autocrypt.Gossip)); n != 2 {
			t.Errorf("%d gossip fields, want 2", n)
		}
		if got := mailmime.Parse(payload.Body).Text(1000); !strings.Contains(got, "canary body, café") {
			t.Errorf("text %q", got)
		}
	}
	sentBox, err := w.mail.Mailbox(t.Context(), mailstore.Sent)
	check(t, err)
	items, _, err := w.mail.Items(t.Context(), sentBox.ID)
	check(t, err)
	kept, err := w.mail.Raw(t.Context(), items[0])
	check(t, err)
	if len(items) != 1 || fmt.Sprint(items[0].Flags) != `[\Seen]` || !bytes.Contains(kept, []byte("Bcc: dan@elsewhere.example\r\n")) || !bytes.Contains(kept, []byte("canary subject")) {
		t.Errorf("in Sent %d messages, %v:\n%s", len(items), items[0].Flags, kept)
	}
}

// TestBlindRecipients checks that no copy shows another recipient, not even by
// a key id.
func TestBlindRecipients(t *testing.T) {
	w := start(t, nil)
	check(t, w.send(t, "al@leap.example", []string{"bob@leap.example", "carol@leap.example", "dan@elsewhere.example"},
		"From: al@leap.example\nTo: bob@leap.example\nSubject: s\n\nhello\n"))
	got := w.relay.wait(t, 3)
	seen := map[string]bool{}
	for _, m := range got {
		if len(m.to) != 1 {
			t.Errorf("a copy goes to %v", m.to)
		}
		seen[m.to[0]] = true
		if bytes.Contains(m.raw, []byte("carol@")) || bytes.Contains(m.raw, []byte("dan@")) {
			t.Errorf("the copy to %v names a blind recipient", m.to)
		}
		p := mailmime.Parse(m.raw)
		if _, ok := autocrypt.Of(p.Header, "al@leap.example"); !ok {
			t.Errorf("the copy to %v brings no key of the alias", m.to)
		}
		armored, encrypted := pgpmime.Encrypted(p)
		if encrypted != strings.HasSuffix(m.to[0], "@leap.example") {
			t.Errorf("the copy to %v is encrypted: %v", m.to, encrypted)
		}
		for name, other := range w.others {
			if !encrypted {
				continue
			}
			if _, _, err := other.keys.Decrypt(t.Context(), armored); (err == nil) != strings.HasPrefix(m.to[0], name) {
				t.Errorf("%s opens the copy to %v: %v", name, m.to, err)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("recipients %v", seen)
	}
}

func TestClearIsSigned(t *testing.T) {
	w := start(t, nil)
	raw := "From: alice@leap.example\nTo: dan@elsewhere.example, bob@leap.example\nSubject: zu Ende\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nFrom now on: grüße \nend\n"
	check(t, w.send(t, "alice@leap.example", []string{"dan@elsewhere.example", "bob@leap.example"}, raw))
	for _, m := range w.relay.wait(t, 2) {
		p := mailmime.Parse(m.raw)
		if fmt.Sprint(m.to) == "[bob@leap.example]" {
			if _, ok := pgpmime.Encrypted(p); !ok {
				t.Errorf("the copy with a key is not encrypted")
			}
			continue
		}
		signed, sig, ok := pgpmime.Signed(p)
		if !ok || p.Header.Get("Subject") != "zu Ende" {
			t.Fatalf("not signed:\n%s", m.raw)
		}
		bob := w.others["bob"]
		if s := bob.keys.VerifyDetached(t.Context(), signed.Raw, sig, "alice@leap.example"); s.State != keymanager.SigValid {
			t.Errorf("signature %v", s)
		}
		if in := hp.Unprotect(signed); in.Mode != hp.Clear || in.Fields.Get("Subject") != "zu Ende" {
			t.Errorf("protected fields %q:\n%s", in.Mode, in.Fields.Bytes())
		}
		if got := signed.Text(1000); !strings.Contains(got, "From now on: grüße \r\nend") {
			t.Errorf("text %q", got)
		}
		for line := range bytes.SplitSeq(m.raw, []byte("\r\n")) {
			if bytes.HasPrefix(line, []byte("From ")) || bytes.HasSuffix(line, []byte(" ")) || slices.ContainsFunc(line, func(c byte) bool { return c >= 0x80 }) {
				t.Errorf("a relay may change the line %q", line)
			}
		}
	}
}

func TestPassesWhatIsEncrypted(t *testing.T) {
	w := start(t, func(c *smtpd.Config) { c.EncryptedOnly = true })
	bob := w.others["bob"]
	own, err := bob.keys.Own(t.Context())
	check(t, err)
	armored, err := bob.keys.EncryptSign(t.Context(), []byte("Content-Type: text/plain\r\n\r\nx"), []nick.Key{own.Key()})
	check(t, err)
	raw := pgpmime.Encrypt(mailmime.Header{
		mailmime.NewField("From", "alice@leap.example"), mailmime.NewField("To", "dan@elsewhere.example"),
		mailmime.NewField("User-Agent", "canary"), mailmime.NewField("Autocrypt", "addr=alice@leap.example; keydata=AAAA"),
	}, armored)
	w.dir.fail(problem.Unavailable.Errorf("offline")) // No key is needed.
	check(t, w.send(t, "alice@leap.example", []string{"dan@elsewhere.example"}, strings.ReplaceAll(string(raw), "\r\n", "\n")))
	got := w.relay.wait(t, 1)[0].raw
	p, q := mailmime.Parse(got), mailmime.Parse(raw)
	if !bytes.Equal(p.Body, q.Body) || p.Header.Get("User-Agent") != "" || len(p.Header.All("Autocrypt")) != 1 {
		t.Errorf("passed on as:\n%s", got)
	}
}

func TestRefuses(t *testing.T) {
	w := start(t, func(c *smtpd.Config) { c.EncryptedOnly = true })
	ok := "From: alice@leap.example\nTo: bob@leap.example\nSubject: s\n\nhello\n"
	bob := []string{"bob@leap.example"}
	for _, tt := range []struct {
		name, from string
		to         []string
		raw        string
		code       int
	}{
		{"another sender", "bob@leap.example", bob, ok, 553},
		{"another From", "alice@leap.example", bob, strings.Replace(ok, "From: alice", "From: bob", 1), 550},
		{"two From", "alice@leap.example", bob, "From: bob@leap.example\n" + ok, 550},
		{"two addresses in From", "alice@leap.example", bob, strings.Replace(ok, "From: ", "From: bob@leap.example, ", 1), 550},
		{"no From", "alice@leap.example", bob, "Subject: s\n\nhello\n", 550},
		{"another Sender", "alice@leap.example", bob, "Sender: bob@leap.example\n" + ok, 550},
		{"no key", "alice@leap.example", []string{"bob@leap.example", "dan@elsewhere.example"}, ok, 550},
	} {
		err := w.send(t, tt.from, tt.to, tt.raw)
		if e, is := errors.AsType[*smtp.SMTPError](err); !is || e.Code != tt.code {
			t.Errorf("%s: %v, want %d", tt.name, err, tt.code)
		}
	}
	w.dir.fail(problem.Unavailable.Errorf("offline"))
	err := w.send(t, "alice@leap.example", []string{"erin@leap.example"}, ok)
	if e, is := errors.AsType[*smtp.SMTPError](err); !is || e.Code != 451 || !strings.Contains(e.Message, "erin@leap.example") {
		t.Errorf("look-up impossible: %v", err)
	}
	if st, err := w.mail.Status(t.Context(), mailstore.Sent); err != nil || st.Messages != 0 {
		t.Errorf("%d refused messages in Sent, %v", st.Messages, err)
	}
}

// TestNeverClearBecauseOfAFault: without EncryptedOnly too, a look-up that
// fails is no reason to send in clear.
func TestNeverClearBecauseOfAFault(t *testing.T) {
	w := start(t, nil)
	w.dir.fail(problem.Unavailable.Errorf("offline"))
	if err := w.send(t, "alice@leap.example", []string{"erin@leap.example"}, letter); err == nil {
		t.Error("the message was taken")
	}
	w.relay.mu.Lock()
	defer w.relay.mu.Unlock()
	if len(w.relay.taken) != 0 {
		t.Errorf("sent:\n%s", w.relay.taken[0].raw)
	}
}

func TestRawProtocol(t *testing.T) {
	w := start(t, nil)
	for _, tt := range []struct {
		name, script, want string
	}{
		{"no login", "EHLO x\r\nMAIL FROM:<alice@leap.example>\r\n", "530"},
		{"wrong password", "EHLO x\r\nAUTH PLAIN AGFsaWNlQGxlYXAuZXhhbXBsZQB3cm9uZw==\r\n", "535"},
		{"login", "EHLO x\r\nAUTH LOGIN\r\nYWxpY2VAbGVhcC5leGFtcGxl\r\nYXBwLXBhc3N3b3Jk\r\n", "235"},
		{"bare LF", auth + "MAIL FROM:<alice@leap.example>\r\nRCPT TO:<bob@leap.example>\r\nDATA\r\nFrom: alice@leap.example\r\n\r\na\nb\r\n.\r\n", "550 5.6.0"},
		{"smuggled end", auth + "MAIL FROM:<alice@leap.example>\r\nRCPT TO:<bob@leap.example>\r\nDATA\r\nFrom: alice@leap.example\r\n\r\na\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", "550 5.6.0"},
		{"bare CR", auth + "MAIL FROM:<alice@leap.example>\r\nRCPT TO:<bob@leap.example>\r\nBDAT 37 LAST\r\nFrom: alice@leap.example\r\n\r\na\rb......", "550 5.6.0"},
		{"NUL", auth + "MAIL FROM:<alice@leap.example>\r\nRCPT TO:<bob@leap.example>\r\nDATA\r\nFrom: alice@leap.example\r\n\r\na\x00b\r\n.\r\n", "550 5.6.0"},
	} {
		c, err := net.Dial("tcp", w.addr)
		check(t, err)
		check(t, c.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = c.Write([]byte(tt.script + "QUIT\r\n"))
		check(t, err)
		var all bytes.Buffer
		if _, err := all.ReadFrom(c); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		c.Close()
		if !strings.Contains(all.String(), "\r\n"+tt.want) {
			t.Errorf("%s: the server said\n%s\nwant %s", tt.name, all.String(), tt.want)
		}
	}
}

const auth = "EHLO x\r\nAUTH PLAIN AGFsaWNlQGxlYXAuZXhhbXBsZQBhcHAtcGFzc3dvcmQ=\r\n"
