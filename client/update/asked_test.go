package update_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"leap.example/client/update"
)

// TestAsked: one look a minute, whatever the clock does.
func TestAsked(t *testing.T) {
	p := update.Prefix(t.TempDir())
	if err := p.Asked(time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("where nothing was installed: %v", err)
	}
	must(t, os.Mkdir(p.Dir(), 0o755))
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		after time.Duration
		soon  bool
	}{
		{0, false},
		{0, true},
		{time.Second, true},
		{59 * time.Second, true},
		{time.Minute, false}, // Since the first; those that were too soon do not count.
		{90 * time.Second, true},
		{-time.Hour, false}, // The clock was set.
		{-time.Hour + time.Second, true},
		{time.Hour, false},
	} {
		if err := p.Asked(at.Add(test.after)); errors.Is(err, update.ErrSoon) != test.soon || !test.soon && err != nil {
			t.Errorf("after %v: %v", test.after, err)
		}
	}
	path := filepath.Join(p.Dir(), "asked")
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	must(t, errors.Join(os.Remove(path), os.Symlink(elsewhere, path)))
	if err := p.Asked(at.AddDate(100, 0, 0)); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("by a link: %v", err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was followed: %v", err)
	}
}
