package webapp

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// A text becomes blocks without line breaks, and parsing the blocks again
// changes nothing.
func FuzzParseText(f *testing.F) {
	f.Add(builtinAbout)
	f.Add("# a\r\n\r\nb\nc\n\n\n#d\n\n# ")
	f.Fuzz(func(t *testing.T, text string) {
		blocks := parseText(text)
		var again []string
		for _, b := range blocks {
			if strings.ContainsAny(b.Text, "\n\r") || b.Text == "" {
				t.Fatalf("block %q", b.Text)
			}
			if b.Heading {
				b.Text = "# " + b.Text
			}
			again = append(again, b.Text)
		}
		if got := parseText(strings.Join(again, "\n\n")); len(got) != len(blocks) {
			t.Errorf("%d blocks, then %d", len(blocks), len(got))
		}
	})
}

// What is taken for a code has eight characters of its alphabet.
func FuzzParseCode(f *testing.F) {
	f.Add("abcd-1234")
	f.Add(" OIL0 0000 ")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := parseCode(text)
		if !ok {
			return
		}
		if len(id) != 8 || strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") != "" {
			t.Errorf("%q is taken for the code %q", text, id)
		}
		if again, ok := parseCode(id); again != id || !ok {
			t.Errorf("%q is read as %q", id, again)
		}
	})
}

// Whatever path is asked for: it gets one version, loses one ".json", and
// stays a path.
func FuzzVersioned(f *testing.F) {
	for _, path := range []string{"/1/users", "/users.json", "/", "/3/x", "/2/", "//", "/1", "/a/../b.json", "/.json"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") || !utf8.ValidString(path) {
			return
		}
		var got string
		h := versioned(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.Path }))
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: path}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if !strings.HasPrefix(got, "/1/") && !strings.HasPrefix(got, "/2/") || r.URL.Path != path {
			t.Errorf("%q becomes %q", path, got)
		}
	})
}

// No form makes the check of a ticket accept what is empty or too long.
func FuzzTicketForm(f *testing.F) {
	f.Add("subject", "a@example.org", "body")
	f.Add("", "@", "\xff")
	f.Fuzz(func(t *testing.T, subject, email, body string) {
		form := ticketForm{subject, email, body}
		if len(form.check()) > 0 {
			return
		}
		if subject == "" || body == "" || len(subject) > 4*maxSubject || len(body) > 4*maxComment || len(email) > maxEmail ||
			!utf8.ValidString(subject+body) || strings.ContainsAny(email, "\r\n") {
			t.Errorf("accepted: %q %q %q", subject, email, body)
		}
	})
}
