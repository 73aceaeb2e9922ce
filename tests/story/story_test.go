package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestStory lives the story with Debian's swaks and mbsync as the mail
// programs; "make story" lives it with Go's libraries.
func TestStory(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole provider: not in -short")
	}
	opt := options{dir: t.TempDir(), foreign: true}
	for _, program := range []string{"swaks", "mbsync"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%v: the mail programs are Go's libraries", err)
			opt.foreign = false
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, opt); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "story: ok in ") {
		t.Errorf("the last line is %q", last)
	}
	t.Log("\n" + out.String())
}
