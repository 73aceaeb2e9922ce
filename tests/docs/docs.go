// Package docs holds what the documents have one type against the programs that it
// is typed to: whoever follows them finds such a command, with these flags, and no
// machine is needed to know it.
package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Commands checks that a program, whose commands are made anew for each, understands
// whatever documents have one type to it, of which each has so many lines at least,
// and does not understand others. It is called by a package three directories below
// the module.
func Commands(t *testing.T, commands func() *cobra.Command, least map[string]int, wrong ...string) {
	t.Helper()
	program := commands().Name()
	for name, n := range least {
		lines := commandLines(text(t, "../../../docs", name), program)
		if len(lines) < n {
			t.Errorf("%s: only %q", name, lines)
		}
		for _, words := range lines {
			if err := understands(commands(), words); err != nil {
				t.Errorf("%s: %s %q: %v", name, program, words, err)
			}
		}
	}
	for _, line := range wrong {
		if understands(commands(), strings.Fields(line)) == nil {
			t.Errorf("%s %s is understood", program, line)
		}
	}
}

func text(t testing.TB, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// commandLines are the words behind a program's name wherever a text has it begin a
// command: in a block, after a shell's operator, and in a line between backquotes.
func commandLines(text, program string) (lines [][]string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	code := false
	var parts, prose []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
		case code || strings.HasPrefix(line, "    "):
			line, _, _ = strings.Cut(line, " # ")
			for _, by := range []string{"&&", ";", "|", "("} {
				line = strings.ReplaceAll(line, by, "\n")
			}
			for part := range strings.Lines(strings.ReplaceAll(line, ")", "\n")) {
				parts = append(parts, strings.TrimPrefix(strings.TrimSpace(part), "do "))
			}
		default:
			prose = append(prose, line)
		}
	}
	for i, span := range strings.Split(strings.Join(prose, ""), "`") {
		if i%2 == 1 {
			parts = append(parts, strings.Join(strings.Fields(span), " "))
		}
	}
	for _, part := range parts {
		words := quoted(part)
		if len(words) > 0 && words[0] == program {
			lines = append(lines, words[1:])
		}
	}
	return lines
}

// quoted splits a line into words; those in double quotes are one.
func quoted(line string) (words []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(strings.ReplaceAll(part, "$OPEN", ""))...) // Which are flags.
	}
	return words
}

// understands checks that there is such a command with such flags, and, if there is
// anything beside the command's name, so many arguments.
func understands(root *cobra.Command, words []string) error {
	cmd, rest, err := root.Find(words)
	if err != nil || len(rest) == 0 {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help := cmd.Flags().Lookup("help"); help != nil && help.Changed {
		return nil
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
