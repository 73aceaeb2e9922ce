package docs

import (
	"strings"
	"testing"
)

// TestMake: whatever the documents have one make is a target, with variables of it.
func TestMake(t *testing.T) {
	makefile := text(t, "../..", "Makefile")
	made := 0
	for _, name := range []string{"release.md", "lab.md"} {
		for _, words := range commandLines(text(t, "../../docs", name), "make") {
			made++
			if !strings.Contains(makefile, "\n"+words[0]+":") {
				t.Errorf("%s: make %q", name, words)
			}
			for _, w := range words[1:] {
				if variable, _, ok := strings.Cut(w, "="); !ok || !strings.Contains(makefile, "$("+variable+")") {
					t.Errorf("%s: make %q", name, words)
				}
			}
		}
	}
	if made < 4 {
		t.Errorf("only %d are found", made)
	}
}
