package relay

import (
	"os"
	"testing"
	"time"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestTable holds the pauses to the table of the package, a tenth off at most.
func TestTable(t *testing.T) {
	cfg := Config{
		ListenTLS: "x:1", Hostname: "h", Domains: []string{"example.org"}, CertFile: "c", KeyFile: "k", QueueKeyFile: "q",
	}
	s, err := cfg.settings()
	if err != nil {
		t.Fatal(err)
	}
	c := &courier{Server: &Server{cfg: s}}
	now := time.Now()
	total := time.Duration(0)
	for i, want := range []string{"20s", "90s", "7m30s", "15m", "30m", "1h", "2h", "4h", "8h", "16h", "16h"} {
		d, err := time.ParseDuration(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.next(i+1, now).Sub(now); got < d*9/10 || got > d*11/10 {
			t.Errorf("after attempt %d: %v, want %v", i+1, got, d)
		}
		if i < lateAfter-1 {
			total += d
		}
	}
	if total < 110*time.Minute || total > 4*time.Hour || s.life < 4*24*time.Hour { // RFC 5321, 4.5.4.1.
		t.Errorf("late after %v, life %v", total, s.life)
	}
}

func TestSharesWorkers(t *testing.T) {
	c := &courier{Server: &Server{cfg: settings{Config: Config{Workers: 4}}}, busy: map[string]int{}, held: map[string]bool{}, wake: make(chan struct{}, 1)}
	got := []bool{c.start("1", "a"), c.start("2", "a"), c.start("3", "a"), c.start("4", "b"), c.start("5", "b"), c.start("6", "c")}
	want := []bool{true, true, false, true, true, false}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	c.end("1", "a")
	if c.start("2", "c") {
		t.Error("a row is under way twice")
	}
	if !c.start("6", "c") || c.start("7", "c") {
		t.Error("a worker that is free again is not given")
	}
}
