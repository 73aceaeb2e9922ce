package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func TestConsoleWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := newConsole("")
		if err != nil {
			t.Fatal(err)
		}
		type found struct {
			end int64
			err error
		}
		got := make(chan found)
		look := func(ctx context.Context, from int64, text string) {
			end, err := c.wait(ctx, from, text)
			got <- found{end, err}
		}
		say := func(text string) {
			synctest.Wait()
			_, _ = c.Write([]byte(text))
		}
		go look(t.Context(), 0, "needle")
		say("hay, nee")
		say("dle, hay")
		if f := <-got; f.end != 11 || f.err != nil {
			t.Errorf("text in two pieces: %+v", f)
		}
		go look(t.Context(), 11, "needle")
		say(" and another needle")
		if f := <-got; f.end != 35 || f.err != nil {
			t.Errorf("the next one: %+v", f)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("no more time")
		go look(ctx, 35, "needle")
		synctest.Wait()
		cancel(gone)
		if f := <-got; !errors.Is(f.err, gone) {
			t.Errorf("until the context ends: %+v", f)
		}
		go look(t.Context(), 35, "needle")
		synctest.Wait()
		if err := c.end(); err != nil {
			t.Error(err)
		}
		if f := <-got; !errors.Is(f.err, errEnded) {
			t.Errorf("until the machine ends: %+v", f)
		}
	})
}

func TestConsoleBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serial")
	c, err := newConsole(path)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 20_000 {
		_, _ = c.Write(line)
	}
	_, _ = c.Write([]byte(strings.Repeat("y", 3*maxSerialKept)))
	_, _ = c.Write([]byte("last words"))
	if n := len(c.text); n > maxSerialKept || n < maxSerialKept/4 {
		t.Errorf("%d bytes are kept", n)
	}
	total := int64(20_000*1000 + 3*maxSerialKept + 10)
	if end, err := c.wait(t.Context(), 0, "last words"); err != nil || end != total {
		t.Errorf("the last words end at %d, %v; want %d", end, err, total)
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
	if at, err := os.Stat(path); err != nil || at.Size() != maxSerialFile {
		t.Errorf("the file: %v, %v", at, err)
	}
}
