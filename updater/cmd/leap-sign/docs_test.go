package main

import (
	"io"
	"testing"

	"github.com/spf13/cobra"

	"leap.example/tests/docs"
)

// TestDocs: whatever release.md and lab.md have one type is a command with these flags.
func TestDocs(t *testing.T) {
	docs.Commands(t, func() *cobra.Command { return (&app{out: io.Discard, errs: io.Discard}).commands() },
		map[string]int{"release.md": 10, "lab.md": 10},
		"rollout stop 1.2.0", "sgin x", "rollout halt 1.2.0 --now", "publish a b")
}
