package agent

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode"

	"leap.example/appliance/node"
)

// Limits of what is told of a log.
const (
	wordsOf  = 200 // Lines.
	wordsMax = 300 // Bytes.
)

// lastWords is what a service wrote last since then, as the end of a sentence;
// empty if it wrote nothing. By the rules of logs there is no secret and no
// address of a user in it.
func (a *Agent) lastWords(ctx context.Context, service string, since time.Time) string {
	var lines []string
	err := a.parts.Supervisor.Logs(ctx, service, wordsOf, false, func(l node.LogLine) error {
		if !l.Time.Before(since.Truncate(time.Millisecond)) {
			lines = append(lines, l.Text)
		}
		return nil
	})
	if text := lastOf(lines); err == nil && text != "" {
		return "; it wrote: " + text
	}
	return "" // The reason is known without it.
}

// lastOf chooses the line that says why a program ended: how the runtime says
// it, or else the last line if it is plain text, or else the last warning.
func lastOf(lines []string) string {
	warning, plain := "", ""
	for k := len(lines) - 1; k >= 0; k-- {
		line := strings.TrimSpace(lines[k])
		var e struct {
			Level, Msg, Err, Error string
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg != "" {
			if warning == "" && (e.Level == "ERROR" || e.Level == "WARN") {
				warning = strings.TrimSuffix(e.Msg+": "+e.Err+e.Error, ": ")
			}
			if warning != "" {
				break
			}
			continue
		}
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return printable(line)
		}
		if plain == "" && warning == "" {
			plain = line
		}
	}
	if plain != "" {
		return printable(plain)
	}
	return printable(warning)
}

// printable is a text without what a terminal obeys, and not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > wordsMax {
		s = strings.ToValidUTF8(s[:wordsMax], "") + "…"
	}
	return s
}
