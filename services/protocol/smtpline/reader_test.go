package smtpline_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/smtpline"
)

var limits = smtpline.Limits{Line: 20, Header: 40, Size: 100}

func TestReader(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"message", "From: a@b\r\n\r\ntext\r\n", nil},
		{"empty", "", nil},
		{"no final line end", "From: a@b\r\n\r\ntext", nil},
		{"bare LF", "a: b\n", smtpline.ErrBareLF},
		{"LF first", "\na: b\r\n", smtpline.ErrBareLF},
		{"LF twice", "a: b\r\n\n", smtpline.ErrBareLF},
		{"bare CR", "a: \rb\r\n", smtpline.ErrBareCR},
		{"CR twice", "a: b\r\r\n", smtpline.ErrBareCR},
		{"CR last", "a: b\r", smtpline.ErrBareCR},
		{"NUL", "a: b\x00\r\n", smtpline.ErrNUL},
		{"CR NUL", "a: b\r\x00\n", smtpline.ErrBareCR},
		{"longest line", "a: " + strings.Repeat("x", 17) + "\r\n", nil},
		{"too long a line", "a: " + strings.Repeat("x", 18) + "\r\n", smtpline.ErrLine},
		{"largest header", strings.Repeat("a: 34567\r\n", 3) + "a: 3456\r\n\r\n" + strings.Repeat("body\r\n", 5), smtpline.ErrHeader},
		{"header at its limit", strings.Repeat("a: 34567\r\n", 3) + "a: 34\r\n\r\n" + strings.Repeat("body\r\n", 5), nil},
		{"largest message", "a: b\r\n\r\n" + strings.Repeat("12\r\n", 23), nil},
		{"too large a message", "a: b\r\n\r\n" + strings.Repeat("12\r\n", 23) + "x", smtpline.ErrSize},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":       strings.NewReader(tt.in),
				"octets":      iotest.OneByteReader(strings.NewReader(tt.in)),
				"EOF at once": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, err := io.ReadAll(smtpline.NewReader(r, limits))
				if !errors.Is(err, tt.want) {
					t.Errorf("%s: got %v, want %v", name, err, tt.want)
				}
				if err == nil && string(got) != tt.in {
					t.Errorf("%s: got %q, want %q", name, got, tt.in)
				}
				if err != nil && !errors.Is(err, problem.Invalid) {
					t.Errorf("%s: %v is not invalid", name, err)
				}
			}
		})
	}
}

func TestReaderKeepsFault(t *testing.T) {
	r := smtpline.NewReader(strings.NewReader("a\n"+strings.Repeat("b\r\n", 10)), smtpline.Limits{})
	for range 3 {
		if n, err := r.Read(make([]byte, 2)); n != 0 || !errors.Is(err, smtpline.ErrBareLF) {
			t.Fatalf("got %d, %v; want 0, %v", n, err, smtpline.ErrBareLF)
		}
	}
}

// FuzzReader: what is let through is unchanged, has no forbidden octet, and
// does not depend on the pieces it comes in.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"a: b\r\n\r\nc\r\n", "\r\n.\n", "\r.\r\n", "x\x00", "a\r\r\n", "\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := io.ReadAll(smtpline.NewReader(bytes.NewReader(in), limits))
		slow, serr := io.ReadAll(smtpline.NewReader(iotest.OneByteReader(bytes.NewReader(in)), limits))
		if !bytes.HasPrefix(in, got) || !bytes.HasPrefix(in, slow) || (err == nil) != (serr == nil) {
			t.Fatalf("%q: got %q, %v and slowly %q, %v", in, got, err, slow, serr)
		}
		rest := bytes.ReplaceAll(got, []byte("\r\n"), nil)
		if err == nil && (!bytes.Equal(got, in) || bytes.ContainsAny(rest, "\r\n\x00")) {
			t.Fatalf("%q was let through as %q", in, got)
		}
	})
}
