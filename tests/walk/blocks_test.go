package walk

import (
	"os"
	"strings"
	"testing"
)

// A block is one of the document: commands, or what is to be written into a file.
type block struct {
	line  int // Of the document, of its fence.
	shell bool
	text  string
}

// document is what docs/lab.md has one do.
func document(t *testing.T) (all []block) {
	t.Helper()
	text, err := os.ReadFile("../../docs/lab.md")
	check(t, err)
	n, open := 0, false
	for line := range strings.Lines(string(text)) {
		n++
		switch fence, isFence := strings.CutPrefix(line, "```"); {
		case isFence && !open:
			all, open = append(all, block{line: n, shell: fence == "sh\n"}), true
		case isFence:
			open = false
		case open:
			all[len(all)-1].text += line
		}
	}
	if open {
		t.Fatalf("the block of line %d does not end", all[len(all)-1].line)
	}
	return all
}

// TestDocument: the way that is gone is that of the document, so that one who changes
// it need not boot machines to hear that a step is another one.
func TestDocument(t *testing.T) {
	all := document(t)
	if len(all) != len(way) {
		t.Fatalf("the document has %d blocks, and %d steps are known", len(all), len(way))
	}
	for k, b := range all {
		if s := way[k]; !strings.Contains(b.text, s.has) || b.shell != (s.into == "") {
			t.Errorf("line %d: the step %q is looked for, with %q, and there is\n%s", b.line, s.what, s.has, b.text)
		}
	}
}
