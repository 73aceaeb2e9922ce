package smtpline_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/smtpline"
)

func TestParseHeader(t *testing.T) {
	raw := "From: A <a@b.example>\r\nSubject: one\r\n two\r\n\tthree\r\nX : y\r\n\r\nbody\r\n\r\nmore\r\n"
	h, body, err := smtpline.ParseHeader([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range h {
		got = append(got, f.Name+"="+f.Value())
	}
	if want := []string{"From=A <a@b.example>", "Subject=one two\tthree", "X=y"}; !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
	if string(body) != "body\r\n\r\nmore\r\n" {
		t.Errorf("body %q", body)
	}
	kept := h.AppendWithout(nil, func(f smtpline.Field) bool { return f.Is("SUBJECT") })
	if want := "From: A <a@b.example>\r\nX : y\r\n"; string(kept) != want {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if h.Count("subject") != 1 || h.Count("nothing") != 0 || h.Value("x") != "y" || h.Value("nothing") != "" {
		t.Errorf("counts or values of %q are wrong", h)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	for _, raw := range []string{" a: b\r\n\r\n", "From a@b\r\n\r\n", ": x\r\n", "a b: c\r\n", "ä: b\r\n", "a\r\nb: c\r\n"} {
		if h, _, err := smtpline.ParseHeader([]byte(raw)); !errors.Is(err, problem.Invalid) {
			t.Errorf("%q: got %q, %v; want %v", raw, h, err, problem.Invalid)
		}
	}
}

func TestAuthor(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{"From: a@b.example\r\n", "a@b.example"},
		{"from: \"B, A\" <a@b.example>\r\n", "a@b.example"},
		{"From: B, A. <a@b.example>\r\n", "a@b.example"},
		{"From: =?windows-1252?q?J=FCrgen?= <a@b.example>\r\n", "a@b.example"},
		{"From: a@b.example (comment)\r\n", "a@b.example"},
		{"From: A\r\n <a@b.example>\r\n", "a@b.example"},
		{"To: a@b.example\r\n", ""},
		{"From: a@b.example\r\nFrom: c@d.example\r\n", ""},
		{"From: a@b.example, c@d.example\r\n", ""},
		{"From: nobody\r\n", ""},
		{"From: <>\r\n", ""},
		{"From: x, <a@b.example>, <c@d.example>\r\n", ""},
		{"From: a@b.example, x <c@d.example> y\r\n", ""},
	} {
		h, _, err := smtpline.ParseHeader([]byte(tt.header))
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Author()
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v; want %q", tt.header, got, err, tt.want)
		}
		if err != nil && !errors.Is(err, problem.Invalid) {
			t.Errorf("%q: %v is not invalid", tt.header, err)
		}
	}
}

// FuzzHeader: the pieces put together are the message again, and a name and
// value hold no line end.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"From: a@b\r\n\r\nx", "a: b\r\n c\r\n", "\r\n", "a:", "a: \"b, c\" <d@e>\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, body, err := smtpline.ParseHeader(raw)
		if err != nil {
			return
		}
		whole := h.AppendWithout(nil, func(smtpline.Field) bool { return false })
		if len(whole) < len(raw) {
			whole = append(append(whole, "\r\n"...), body...)
		}
		if !bytes.Equal(whole, raw) {
			t.Fatalf("%q became %q", raw, whole)
		}
		for _, f := range h {
			if strings.ContainsAny(f.Name, " :\r\n") || f.Name == "" {
				t.Fatalf("name %q in %q", f.Name, raw)
			}
		}
		if a, err := h.Author(); err == nil && !strings.Contains(a, "@") {
			t.Fatalf("author %q of %q", a, raw)
		}
	})
}
