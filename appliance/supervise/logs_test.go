package supervise_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/appliance/supervise"
)

// TestLogsBound writes more than is kept, through a process and directly.
func TestLogsBound(t *testing.T) {
	l := newLab(t, supervise.Config{})
	l.start(t, "chatter")
	l.says(t, "chatter", "line 1999 ")
	lines, err := l.logs.Lines("chatter", 3)
	if err != nil || len(lines) != 3 || !strings.HasPrefix(lines[2].Text, "line 1999 ") || !strings.HasPrefix(lines[0].Text, "line 1997 ") {
		t.Errorf("the last lines are %v, %v", lines, err)
	}
}

func TestLogs(t *testing.T) {
	const size = 4 << 10
	dir := t.TempDir()
	logs, err := supervise.NewLogs(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		logs.Add("a", fmt.Sprint("line ", i))
	}
	logs.Add("b", "other")
	total := int64(0)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > size+100 || len(files) != 3 {
		t.Errorf("%d bytes in %v", total, files)
	}
	all, err := logs.Lines("", 2)
	if err != nil || len(all) != 2 || all[0].Text != "line 499" || all[1].Text != "other" || all[1].Service != "b" {
		t.Errorf("of all: %v, %v", all, err)
	}
	if err := logs.Close(); err != nil {
		t.Fatal(err)
	}
	logs.Add("a", "lost")

	// A power cut leaves a part of a line and rubbish.
	f, err := os.OpenFile(filepath.Join(dir, "a.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(append([]byte("2026-01-0"), make([]byte, 100)...)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again, err := supervise.NewLogs(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	again.Add("a", "swallowed by the torn line")
	again.Add("a", "whole")
	lines, err := again.Lines("a", 2)
	if err != nil || len(lines) != 2 || lines[0].Text != "line 499" || lines[1].Text != "whole" {
		t.Errorf("after a crash: %v, %v", lines, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05.006Z hello\nrubbish\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.log"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		logs, err := supervise.NewLogs(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := logs.Lines("a", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")) + 1; len(lines) > n {
			t.Errorf("%d lines of %d", len(lines), n)
		}
	})
}
