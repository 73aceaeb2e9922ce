package mailstore_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leap.example/client/mailmime"
	"leap.example/client/mailstore"
)

// naive is a search without index: it reads every message.
func naive(raw []byte, uid uint32, flags []string, q mailstore.Query) bool {
	p := mailmime.Parse(raw)
	lower := strings.ToLower
	var head strings.Builder
	for _, f := range p.Header {
		head.WriteString(f.Name + ": " + f.Text() + "\n")
	}
	text := p.Text(1 << 20)
	for _, in := range q.In {
		if !in(uid) {
			return false
		}
	}
	for _, s := range q.Body {
		if !strings.Contains(lower(text), lower(s)) {
			return false
		}
	}
	for _, s := range q.Text {
		if !strings.Contains(lower(text), lower(s)) && !strings.Contains(lower(head.String()), lower(s)) {
			return false
		}
	}
	for _, h := range q.Header {
		if !slices.ContainsFunc(p.Header, func(f mailmime.Field) bool { return f.Is(h.Name) && strings.Contains(lower(f.Text()), lower(h.Value)) }) {
			return false
		}
	}
	for _, f := range q.Flags {
		if !slices.Contains(flags, f) {
			return false
		}
	}
	for _, n := range q.Not {
		if naive(raw, uid, flags, n) {
			return false
		}
	}
	for _, or := range q.Or {
		if !naive(raw, uid, flags, or[0]) && !naive(raw, uid, flags, or[1]) {
			return false
		}
	}
	return true
}

// TestSearchAgreesWithAScan compares searches for random strings, and for
// random pieces of the messages themselves, with reading everything.
func TestSearchAgreesWithAScan(t *testing.T) {
	s, _ := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	alphabet := []rune("aabbcdeE ÄäßſİıΣσς中文\r\n")
	word := func(n int) string {
		out := make([]rune, r.IntN(n)+1)
		for i := range out {
			out[i] = alphabet[r.IntN(len(alphabet))]
		}
		return strings.TrimSpace(string(out))
	}
	var raws [][]byte
	var flags [][]string
	for i := range 60 {
		body := word(60)
		if i%20 == 0 { // Larger than what is indexed or read in whole.
			body += strings.Repeat("0123456789 filler\r\n", 20000) + "tail " + word(20)
		}
		raw := "Subject: " + strings.NewReplacer("\r", "", "\n", "").Replace(word(20)) + "\r\nX-Note: " + fmt.Sprint(i) + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body
		if i%7 == 0 {
			raw = "Subject: =?utf-8?q?=C3=84rger?=\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>caf=E9 <b>a</b>b</p>"
		}
		fl := [][]string{nil, {`\Seen`}}[i%2]
		raws, flags = append(raws, []byte(raw)), append(flags, fl)
		add(t, s, "INBOX", []byte(raw), fl...)
	}
	box := id(t, s, "INBOX")
	piece := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "random") == 0 {
			return rapid.SampledFrom([]string{"", "zzz", "x-note: 1", "café ab", "ÄRGER", "tail", "\x00", "a\xff"}).Draw(t, "fixed")
		}
		text := []rune(string(raws[rapid.IntRange(0, len(raws)-1).Draw(t, "message")]))
		from := rapid.IntRange(0, min(len(text)-1, 120)).Draw(t, "from")
		return string(text[from:min(len(text), from+rapid.IntRange(1, 9).Draw(t, "length"))])
	})
	var query func(depth int) *rapid.Generator[mailstore.Query]
	query = func(depth int) *rapid.Generator[mailstore.Query] {
		return rapid.Custom(func(t *rapid.T) (q mailstore.Query) {
			switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
			case kind == 0:
				q.Body = []string{piece.Draw(t, "body")}
			case kind == 1:
				q.Text = []string{piece.Draw(t, "text"), piece.Draw(t, "text")}
			case kind == 2:
				q.Header = []mailstore.HeaderQuery{{Name: rapid.SampledFrom([]string{"subject", "X-Note", "None"}).Draw(t, "name"), Value: piece.Draw(t, "value")}}
			case kind == 3 || depth == 0:
				q.Text, q.Flags = []string{piece.Draw(t, "text")}, []string{`\Seen`}
			case kind == 4:
				q.Not = []mailstore.Query{query(depth-1).Draw(t, "not")}
			default:
				q.Or = [][2]mailstore.Query{{query(depth-1).Draw(t, "or"), query(depth-1).Draw(t, "or")}}
			}
			return q
		})
	}
	rapid.Check(t, func(rt *rapid.T) {
		q := query(2).Draw(rt, "query")
		got, err := s.Search(t.Context(), box, q)
		if err != nil {
			rt.Fatal(err)
		}
		var want []uint32
		for i := range raws {
			if naive(raws[i], uint32(i+1), flags[i], q) {
				want = append(want, uint32(i+1))
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%+v: %v, want %v", q, got, want)
		}
	})
}

func TestSearchDatesAndSizes(t *testing.T) {
	s, _ := open(t)
	for i, date := range []string{"Mon, 23 Nov 2026 23:30:00 -0500", "Tue, 24 Nov 2026 00:30:00 +0100", "never"} {
		_, _, err := s.Append(t.Context(), "INBOX", []byte("Date: "+date+"\r\n\r\n"+strings.Repeat("x", 100*i)), nil,
			time.Date(2026, 11, 22+i, 23, 59, 0, 0, time.UTC), mailstore.AppendOptions{})
		check(t, err)
	}
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name string
		q    mailstore.Query
		want string
	}{
		{"since", mailstore.Query{Since: day(23)}, "[2 3]"},
		{"before", mailstore.Query{Before: day(23)}, "[1]"},
		{"on", mailstore.Query{Since: day(23), Before: day(24)}, "[2]"},
		{"sent on", mailstore.Query{SentSince: day(23), SentBefore: day(24)}, "[1]"},
		{"sent since", mailstore.Query{SentSince: day(24)}, "[2]"},
		{"larger", mailstore.Query{Larger: 100}, "[2 3]"},
		{"smaller", mailstore.Query{Smaller: 100}, "[1]"},
	} {
		uids, err := s.Search(t.Context(), id(t, s, "INBOX"), tt.q)
		if err != nil || fmt.Sprint(uids) != tt.want {
			t.Errorf("%s: %v, want %s, %v", tt.name, uids, tt.want, err)
		}
	}
}
