package sender_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"go.uber.org/goleak"

	"leap.example/services/mx/sender"
	"leap.example/services/protocol/smtpline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// zone is the world: a domain with everything, one that wants strictness, one
// without anything, one whose name server is broken.
func zone(t testing.TB) string {
	pub := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	rr := []string{
		`strict.example. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`_dmarc.strict.example. TXT "v=DMARC1; p=reject; adkim=s; aspf=s"`,
		`good.example. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`mail.good.example. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`_dmarc.good.example. TXT "v=DMARC1; p=reject; sp=none"`,
		`_dmarc.mild.example. TXT "v=DMARC1; p=quarantine"`,
		`_dmarc.nobody.example. TXT "v=DMARC1; p=reject; pct=0"`,
		`_dmarc.malformed.example. TXT "v=DMARC1; p=perhaps"`,
	}
	for _, d := range []string{"good.example", "strict.example", "sub.strict.example", "other.example"} {
		rr = append(rr, fmt.Sprintf(`s1._domainkey.%s. TXT "v=DKIM1; k=ed25519; p=%s"`, d, pub))
	}
	return serveDNS(t, rr...)
}

// mail returns a message by author, signed for the domains.
func mail(t testing.TB, author string, domains ...string) []byte {
	t.Helper()
	raw := []byte("From: A <" + author + ">\r\nSubject: x\r\n\r\nbody\r\n")
	for _, d := range domains {
		selector, d, ok := strings.Cut(d, "/")
		if !ok {
			selector, d = "s1", selector
		}
		var out bytes.Buffer
		err := dkim.Sign(&out, bytes.NewReader(raw), &dkim.SignOptions{Domain: d, Selector: selector, Signer: key, HeaderKeys: []string{"From", "Subject"}})
		if err != nil {
			t.Fatal(err)
		}
		raw = out.Bytes()
	}
	return raw
}

func message(t testing.TB, ip, helo, from, author string, raw []byte) sender.Message {
	t.Helper()
	h, _, err := smtpline.ParseHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	return sender.Message{IP: netip.MustParseAddr(ip), HELO: helo, From: from, Author: author, Header: h, Raw: raw}
}

func TestCheck(t *testing.T) {
	c := sender.New(zone(t))
	for _, tt := range []struct {
		name, ip, helo, from, author string
		signed                       []string
		spf, dkim, dmarc             string
		action                       sender.Action
	}{
		{"SPF speaks", "192.0.2.1", "h", "a@good.example", "a@good.example", nil, "pass", "none", "pass", sender.Accept},
		{"DKIM speaks", "192.0.2.9", "h", "a@good.example", "a@good.example", []string{"good.example"}, "fail", "pass", "pass", sender.Accept},
		{"forwarded by a list", "192.0.2.9", "h", "l@other.example", "a@good.example", []string{"other.example", "good.example"}, "none", "pass", "pass", sender.Accept},
		{"nobody speaks", "192.0.2.9", "h", "a@good.example", "a@good.example", nil, "fail", "none", "fail", sender.Reject},
		{"other domains speak", "192.0.2.9", "h", "a@other.example", "a@good.example", []string{"other.example"}, "none", "policy", "fail", sender.Reject},
		{"HELO speaks for the null sender", "192.0.2.1", "mail.good.example", "", "a@good.example", nil, "pass", "none", "pass", sender.Accept},
		{"subdomain is let off", "192.0.2.9", "h", "", "a@sub.good.example", nil, "none", "none", "fail", sender.Accept},
		{"strict and exact", "192.0.2.1", "h", "a@strict.example", "a@strict.example", nil, "pass", "none", "pass", sender.Accept},
		{"strict and not exact", "192.0.2.9", "h", "", "a@strict.example", []string{"sub.strict.example"}, "none", "pass", "fail", sender.Reject},
		{"quarantine", "192.0.2.9", "h", "", "a@mild.example", nil, "none", "none", "fail", sender.Accept},
		{"policy for no one", "192.0.2.9", "h", "", "a@nobody.example", nil, "none", "none", "fail", sender.Accept},
		{"no policy", "192.0.2.9", "h", "a@other.example", "a@other.example", []string{"other.example"}, "none", "pass", "none", sender.Accept},
		{"malformed policy", "192.0.2.9", "h", "", "a@malformed.example", nil, "none", "none", "permerror", sender.Accept},
		{"resolver fails", "192.0.2.9", "h", "a@x.broken", "a@x.broken", nil, "temperror", "none", "temperror", sender.Accept},
		{"IPv6", "2001:db8::1", "h", "a@good.example", "a@good.example", nil, "fail", "none", "fail", sender.Reject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := c.Check(t.Context(), message(t, tt.ip, tt.helo, tt.from, tt.author, mail(t, tt.author, tt.signed...)))
			got := fmt.Sprintf("spf=%s dkim=%s dmarc=%s %d", v.SPF, v.DKIM, v.DMARC, v.Action)
			want := fmt.Sprintf("spf=%s dkim=%s dmarc=%s %d", tt.spf, tt.dkim, tt.dmarc, tt.action)
			if got != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

// TestMissingAnswer: the key of the only signature is behind a name server
// that fails, so a refusal has to wait.
func TestMissingAnswer(t *testing.T) {
	c := sender.New(zone(t))
	for author, want := range map[string]sender.Action{"a@good.example": sender.Retry, "a@mild.example": sender.Accept} {
		raw := mail(t, author, "broken/"+author[2:])
		v := c.Check(t.Context(), message(t, "192.0.2.9", "h", "", author, raw))
		if v.DKIM != "temperror" || v.DMARC != "temperror" || v.Action != want {
			t.Errorf("%s: got dkim=%s dmarc=%s action %d; want temperror and %d", author, v.DKIM, v.DMARC, v.Action, want)
		}
	}
}

func TestChangedMessage(t *testing.T) {
	raw := bytes.Replace(mail(t, "a@good.example", "good.example"), []byte("body"), []byte("BODY"), 1)
	v := sender.New(zone(t)).Check(t.Context(), message(t, "192.0.2.9", "h", "", "a@good.example", raw))
	if v.DKIM != "fail" || v.DMARC != "fail" || v.Action != sender.Reject {
		t.Errorf("got dkim=%s dmarc=%s action %d; want fail, fail, %d", v.DKIM, v.DMARC, v.Action, sender.Reject)
	}
}

// TestTooMuchToVerify: headers made to be slow are not verified.
func TestTooMuchToVerify(t *testing.T) {
	c := sender.New(zone(t))
	many := append([]byte(strings.Repeat("A: b\r\n", 2000)), mail(t, "a@good.example", "good.example")...)
	long := append([]byte("DKIM-Signature: h="+strings.Repeat("a:\r\n ", 4000)+"\r\n"), mail(t, "a@good.example", "good.example")...)
	for _, raw := range [][]byte{many, long} {
		start := time.Now()
		v := c.Check(t.Context(), message(t, "192.0.2.1", "h", "a@good.example", "a@good.example", raw))
		if v.DMARC != "pass" || v.DKIM != "none" || time.Since(start) > 5*time.Second {
			t.Errorf("got dkim=%s dmarc=%s in %v", v.DKIM, v.DMARC, time.Since(start))
		}
	}
}

func TestNoResolver(t *testing.T) {
	v := sender.New("").Check(t.Context(), sender.Message{Author: "a@good.example"})
	if v.SPF != "none" || v.DKIM != "none" || v.DMARC != "none" || v.Action != sender.Accept || len(v.Results) != 0 {
		t.Errorf("got %+v, want nothing", v)
	}
}
