package mirror_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDamage has what the copies trust be damaged: they are begun again, which the
// status says, and what is brought next is taken.
func TestDamage(t *testing.T) {
	w := newWorld(t, "1.0.0", "1.1.0")
	k := w.keeper()
	bring := func() {
		t.Helper()
		b := w.bundle("vendor", "director")
		check(t, k.Import(t.Context(), bytes.NewReader(b), int64(len(b))))
	}
	bring()
	for _, name := range []string{"vendor", "director"} {
		check(t, os.Truncate(filepath.Join(w.dir, ".state", name+".trusted"), 700))
	}
	w.release("1.2.0")
	bring()
	if s := k.Status(); len(s) != 2 || !strings.Contains(s[0].Error, "was damaged") || !strings.Contains(s[1].Error, "was damaged") || !slices.Contains(s[1].Releases, "1.2.0") {
		t.Errorf("the status is %+v", s)
	}
	if data, err := w.take("", "1.2.0"); err != nil || !bytes.Equal(data, image("1.2.0")) {
		t.Errorf("after the damage: %v", err)
	}
	bring()
	if s := k.Status(); s[0].Error != "" || s[1].Error != "" {
		t.Errorf("once it is whole again the status is %+v", s)
	}
}
