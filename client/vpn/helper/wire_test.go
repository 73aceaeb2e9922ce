package helper

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/caller"
	"leap.example/services/protocol/problem"
)

func TestAllows(t *testing.T) {
	cfg := Config{UIDs: []uint32{1000}}
	for uid, want := range map[uint32]bool{0: true, 1000: true, 1001: false, caller.Nobody: false} {
		if got := cfg.allows(uid); got != want {
			t.Errorf("user %d: %v, want %v", uid, got, want)
		}
	}
}

// FuzzRequest: what is understood is the same after it was written.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		`{"apply":{"mode":"blocked","lan":true}}`, `{"stats":{}}`, `{"version":{}}`, `{"boot":{"block":true}}`,
		`{"dial":{"network":"tcp","addr":"192.0.2.1:443"}}`, `{"apply":{"mode":"open"},"stats":{}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := parseRequest(data)
		if err != nil {
			if problem.KindOf(err) != problem.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		out, err := json.Marshal(q)
		if err != nil {
			return // A mode or key that has no text cannot come from one.
		}
		again, err := parseRequest(out)
		if err != nil {
			t.Fatalf("%s is refused: %v", out, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(out) {
			t.Errorf("%s becomes %s, %v", out, twice, err)
		}
	})
}

func TestUnits(t *testing.T) {
	dir := t.TempDir()
	i := Install{Dir: dir, Program: "/usr/bin/env", UIDs: []uint32{1000}}
	for range 2 {
		if err := i.Write(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "multi-user.target.wants", Service))
	if err != nil || !strings.Contains(string(text), "ExecStart=/usr/bin/env vpn-helper run --uid 1000\n") {
		t.Errorf("%v\n%s", err, text)
	}
	verify(t, dir)
	other := Install{Dir: dir, Program: "/usr/bin/env", UIDs: []uint32{1001}}
	if err := other.Write(); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(filepath.Join(dir, Service))
	if err != nil || !strings.Contains(string(text), "run --uid 1001 --uid 1000\n") {
		t.Errorf("one more user: %v\n%s", err, text)
	}
	if err := i.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "leap*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := i.Remove(); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

// verify has systemd read the units.
func verify(t *testing.T, dir string) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("LOUD: systemd-analyze is not there: nobody has read the units")
		return
	}
	out, err := exec.CommandContext(t.Context(), program, "verify", filepath.Join(dir, Service), filepath.Join(dir, Block)).CombinedOutput()
	var ours []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "leap-vpn") {
			ours = append(ours, line)
		}
	}
	if len(ours) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, strings.Join(ours, ""))
	}
}

// TestRefused: strangers do not fill the log.
func TestRefused(t *testing.T) {
	var log strings.Builder
	s := NewServer(Config{}, nil, slog.New(slog.NewTextHandler(&log, nil)))
	for range 100 {
		s.refused(1001, nil)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
