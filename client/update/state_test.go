package update_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"leap.example/client/update"
)

// TestCut: a text that is cut is one still, wherever a character ends.
func TestCut(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"12345678", "12345678"},
		{"123456789", "12345…"},
		{"éééé", "éééé"},
		{"ééééé", "éé…"},
	} {
		if got := update.Cut(test.text, 8); got != test.want {
			t.Errorf("%q becomes %q, want %q", test.text, got, test.want)
		}
	}
}

// TestLongReason: why a version was given up is kept, cut between characters.
func TestLongReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(release("1.1.0"), content("1.1.0"))
		w.cfg.Try = fails(strings.Repeat("é", 1000))
		if _, err := w.apply(); err == nil {
			t.Error("it was installed")
		}
		s := w.state()
		if why := s.Bad[0].Why; len(why) > 500 || strings.ContainsRune(why, utf8.RuneError) || !strings.HasSuffix(why, "é…") {
			t.Errorf("%d bytes: %q", len(why), why)
		}
	})
}
