package slots_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"leap.example/appliance/efi/efitest"
	"leap.example/appliance/slots"
)

// node is a node with an ESP that is a directory.
func node(t *testing.T, running string, files ...string) (*slots.Slots, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "EFI/Linux"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, "EFI/Linux", name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &slots.Slots{Running: running, Dir: t.TempDir(), ESP: func(_ context.Context, f func(string) error) error { return f(dir) }}, dir
}

// names returns the names of the files below a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOld(t *testing.T) {
	s, _ := node(t, "1.9.0", "leap_1.10.0+2-1.efi", "leap_1.9.0.efi")
	check(t, s.Old(t.Context(), func(content io.ReaderAt, size int64) error {
		text, err := io.ReadAll(io.NewSectionReader(content, 0, size+1))
		if string(text) != "leap_1.9.0.efi" {
			t.Errorf("the release that runs is %s", text)
		}
		return err
	}))
	s.Running = "1.8.0"
	if err := s.Old(t.Context(), func(io.ReaderAt, int64) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a release that is not there: %v", err)
	}
}

func release(version string) (slots.Target, []byte) {
	content := efitest.UKI(version, "kernel", "initrd")
	sum := sha256.Sum256(content)
	return slots.Target{Version: version, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}, content
}

func TestList(t *testing.T) {
	s, _ := node(t, "1.9.0", "leap_1.9.0.efi", "leap_1.10.0+2-1.efi", "leap_2.0.0+0-3.efi", "leap_0.9.0+3.efi", "readme.txt", "leap_.efi", "leap_1..efi")
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []slots.Entry{
		{Version: "2.0.0", Counted: true, Done: 3}, {Version: "1.10.0", Counted: true, Left: 2, Done: 1}, {Version: "1.9.0"}, {Version: "0.9.0", Counted: true, Left: 3},
	}
	if len(all) != len(want) {
		t.Fatalf("listed %+v", all)
	}
	for i, e := range all {
		if w := want[i]; e.Version != w.Version || e.Left != w.Left || e.Done != w.Done || e.State() != w.State() {
			t.Errorf("%+v is not %+v", e, w)
		}
	}
	if got := []slots.State{all[0].State(), all[1].State(), all[2].State()}; !slices.Equal(got, []slots.State{slots.Bad, slots.Trial, slots.Good}) {
		t.Errorf("states are %v", got)
	}
}

// TestLife writes a release, tries it, and makes it good or gives it up.
func TestLife(t *testing.T) {
	s, dir := node(t, "1.0.0", "leap_1.0.0.efi", "leap_0.9.0.efi")
	target, content := release("1.1.0")
	if err := s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	want := []string{"EFI/Linux/leap_0.9.0.efi", "EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0+3.efi"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Fatalf("there are %v", got)
	}
	// The boot loader starts it.
	if err := os.Rename(filepath.Join(dir, want[2]), filepath.Join(dir, "EFI/Linux/leap_1.1.0+2-1.efi")); err != nil {
		t.Fatal(err)
	}
	s.Running = "1.1.0"
	for range 2 {
		if err := s.Bless(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check(t, s.Settle(t.Context()))
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0.efi"}) {
		t.Errorf("there are %v", got)
	}
	check(t, s.Condemn(t.Context(), "no queue"))
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0+0-1.efi"}) {
		t.Errorf("there are %v", got)
	}
	s.Running = "1.0.0"
	if err := s.Condemn(t.Context(), "no queue"); !errors.Is(err, slots.ErrOnly) {
		t.Errorf("the last good one was given up: %v", err)
	}
	check(t, s.Settle(t.Context()))
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi"}) {
		t.Errorf("there are %v", got)
	}
	s.Running = "7.0.0"
	if err := s.Condemn(t.Context(), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not there: %v", err)
	}
}

// TestRecords has a release given up by a verdict and another one by the boot
// loader, and expects the node to know both, and to take them only if told so.
func TestRecords(t *testing.T) {
	s, dir := node(t, "1.0.0", "leap_1.0.0.efi", "leap_1.2.0+0-3.efi")
	target, content := release("1.1.0")
	check(t, s.Write(t.Context(), target, 7*time.Minute, bytes.NewReader(content)))
	s.Running = "1.1.0"
	if got := s.Within("1.1.0"); got != 7*time.Minute {
		t.Errorf("its trial may take %v", got)
	}
	if got := s.Within("1.2.0"); got != 15*time.Minute {
		t.Errorf("an unknown trial may take %v", got)
	}
	check(t, s.Condemn(t.Context(), "no queue"))
	s.Running = "1.0.0"
	for range 2 {
		check(t, s.Settle(t.Context()))
		known, err := s.Known()
		if err != nil || len(known) != 2 || known[0].Version != "1.2.0" || !strings.HasPrefix(known[0].Reason, "started 3 times") ||
			known[1].Version != "1.1.0" || known[1].Reason != "no queue" || known[1].Since.IsZero() {
			t.Errorf("it knows %+v, %v", known, err)
		}
	}
	if err := s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)); !errors.Is(err, slots.ErrBad) || !strings.Contains(err.Error(), "no queue") {
		t.Errorf("the bad one again: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(s.Dir, "bad-1.1.0.json"), []byte("noise"), 0o600))
	if err := s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)); !errors.Is(err, slots.ErrBad) {
		t.Errorf("the bad one again, of which the record is damaged: %v", err)
	}
	target.Again = true
	if err := s.Write(t.Context(), target, time.Minute, bytes.NewReader(content[:9])); !errors.Is(err, slots.ErrContent) {
		t.Errorf("half of the bad one again: %v", err)
	}
	if known, err := s.Known(); err != nil || len(known) != 2 {
		t.Errorf("after half of it came it knows %+v, %v", known, err)
	}
	check(t, s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)))
	if known, err := s.Known(); err != nil || len(known) != 1 {
		t.Errorf("it knows %+v, %v", known, err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0+3.efi"}) {
		t.Errorf("there are %v", got)
	}
}

// TestWithout has a node whose writable partition cannot be used: it can still
// give a release up.
func TestWithout(t *testing.T) {
	s, dir := node(t, "1.1.0", "leap_1.0.0.efi", "leap_1.1.0+2-1.efi")
	s.Dir = ""
	check(t, s.Condemn(t.Context(), "no perm"))
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0+0-1.efi"}) {
		t.Errorf("there are %v", got)
	}
	if known, err := s.Known(); err != nil || len(known) > 0 || s.Within("1.1.0") != 15*time.Minute {
		t.Errorf("it knows %v, %v", known, err)
	}
}

// TestRefused writes what is not the release that it should be, and expects the
// ESP to be as it was.
func TestRefused(t *testing.T) {
	good, content := release("1.1.0")
	other, otherContent := release("1.2.0")
	noise := bytes.Repeat([]byte("noise"), 100)
	sum := sha256.Sum256(noise)
	broken := errors.New("the connection broke")
	for name, test := range map[string]struct {
		target  slots.Target
		content io.Reader
		want    error
	}{
		"short":         {good, bytes.NewReader(content[:len(content)-1]), slots.ErrContent},
		"long":          {good, bytes.NewReader(append(slices.Clone(content), 0)), slots.ErrContent},
		"changed":       {good, bytes.NewReader(append(slices.Clone(content[:len(content)-1]), 1)), slots.ErrContent},
		"no release":    {slots.Target{Version: "1.1.0", Size: int64(len(noise)), SHA256: hex.EncodeToString(sum[:])}, bytes.NewReader(noise), slots.ErrContent},
		"other version": {slots.Target{Version: "1.1.0", Size: other.Size, SHA256: other.SHA256}, bytes.NewReader(otherContent), slots.ErrContent},
		"too large":     {slots.Target{Version: "1.1.0", Size: 1 << 40, SHA256: good.SHA256}, bytes.NewReader(content), slots.ErrContent},
		"broken off":    {good, io.MultiReader(bytes.NewReader(content[:10]), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := node(t, "1.0.0", "leap_1.0.0.efi")
			if err := os.WriteFile(filepath.Join(dir, "leap.new"), []byte("of an earlier call"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), test.target, time.Minute, test.content); !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "EFI/Linux/leap_1.1.0+3.efi")); !errors.Is(err, fs.ErrNotExist) {
				t.Error("it is there to be started")
			}
		})
	}
	for _, running := range []string{"1.1.0", "1.2.0"} {
		s, _ := node(t, running, "leap_"+running+".efi")
		if err := s.Write(t.Context(), good, time.Minute, bytes.NewReader(content)); !errors.Is(err, slots.ErrOlder) {
			t.Errorf("1.1.0 after %s: %v", running, err)
		}
	}
}

// TestAgain writes a release that is there already, tried and bad.
func TestAgain(t *testing.T) {
	s, dir := node(t, "1.0.0", "leap_1.0.0.efi", "leap_1.1.0+0-3.efi")
	target, content := release("1.1.0")
	if err := s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"EFI/Linux/leap_1.0.0.efi", "EFI/Linux/leap_1.1.0+3.efi"}) {
		t.Errorf("there are %v", got)
	}
}

// TestDisarm takes back what was written and not started.
func TestDisarm(t *testing.T) {
	s, dir := node(t, "1.0.0", "leap_1.0.0.efi", "leap_0.9.0.efi", "leap_1.2.0+2-1.efi", "leap_1.3.0+0-3.efi")
	before := names(t, dir)
	target, content := release("1.1.0")
	check(t, s.Write(t.Context(), target, time.Minute, bytes.NewReader(content)))
	for range 2 {
		check(t, s.Disarm(t.Context(), "1.1.0"))
	}
	for _, version := range []string{"1.0.0", "0.9.0", "1.3.0", "9.9.9"} {
		check(t, s.Disarm(t.Context(), version))
	}
	if err := s.Disarm(t.Context(), "1.2.0"); !errors.Is(err, slots.ErrStarted) {
		t.Errorf("one that was started: %v", err)
	}
	if got := names(t, dir); !slices.Equal(got, before) {
		t.Errorf("there are %v", got)
	}
	if known, err := s.Known(); err != nil || len(known) != 0 {
		t.Errorf("it knows %+v, %v", known, err)
	}
}
