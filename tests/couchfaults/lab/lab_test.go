package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"leap.example/tests/couchfaults/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A full disk says so to who writes to it, and to nobody else.
func TestDisk(t *testing.T) {
	at := t.TempDir()
	d, err := lab.NewDisk(at, 1<<20)
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(d.Path, "file")
	if err := os.WriteFile(file, make([]byte, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Fill(0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"2", make([]byte, 1<<16), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing to a full disk: %v", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+"2", make([]byte, 1<<16), 0o600); err != nil {
		t.Error(err)
	}
	if here, err := os.ReadDir(at); err != nil || len(here) != 0 {
		t.Errorf("outside the disk there is %v, %v", here, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the disk outlived its keeper")
	}
}

func TestPoll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cause := errors.New("cause")
	tries := 0
	err := lab.Poll(ctx, "nothing", 1<<40, func() error {
		if tries++; tries == 3 {
			cancel()
		}
		return cause
	})
	if tries != 3 || !errors.Is(err, cause) {
		t.Errorf("%d tries, %v", tries, err)
	}
}
