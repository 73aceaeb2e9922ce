package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDocs: whatever release.md and lab.md have one type is a command with these flags, and a
// target of make.
func TestDocs(t *testing.T) {
	makefile, err := os.ReadFile("../../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]int{"release.md": 2, "lab.md": 20} {
		text, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		lines := commandLines(string(text), "leap")
		if len(lines) < least {
			t.Errorf("%s: only %q", name, lines)
		}
		for _, words := range lines {
			a := &app{out: io.Discard, errs: io.Discard}
			if err := understands(a.commands(), words); err != nil {
				t.Errorf("%s: leap %q: %v", name, words, err)
			}
		}
		for _, words := range commandLines(string(text), "make") {
			if !strings.Contains(string(makefile), "\n"+words[0]+":") {
				t.Errorf("%s: make %q", name, words)
			}
			for _, w := range words[1:] {
				if variable, _, ok := strings.Cut(w, "="); !ok || !strings.Contains(string(makefile), "$("+variable+")") {
					t.Errorf("%s: make %q", name, words)
				}
			}
		}
	}
	for _, wrong := range []string{"local strat web1", "image tre", "local start --now"} {
		if words := strings.Fields(wrong); understands((&app{}).commands(), words) == nil {
			t.Errorf("leap %s is understood", wrong)
		}
	}
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
