package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// print writes v as JSON if that is wanted, and else calls text.
func (a *app) print(v any, text func()) error {
	if !a.json {
		text()
		return nil
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// sayf tells a person what happened.
func (a *app) sayf(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.out, format+"\n", args...)
	}
}

// warnf tells a person what wants attention.
func (a *app) warnf(format string, args ...any) { fmt.Fprintf(a.errs, "! "+format+"\n", args...) }

// table writes rows of cells in columns.
func (a *app) table(rows [][]string) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = w.Flush() // The next write would fail too.
}

// control are sequences and characters that a terminal obeys, but for lines and tabs:
// ECMA-48, 5.4.
var control = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]`)

// harmless is what a machine has written, for a terminal to show: firmware clears the
// screen, and whoever looks at several things would see the last one alone.
func harmless(text []byte) []byte { return control.ReplaceAll(text, nil) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// or is s, or otherwise if it is empty.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
