package tufclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"leap.example/updater/tufclient"
)

// A crowded is a body during which others fill the disk.
type crowded struct {
	from io.Reader
	fill func()
}

func (c crowded) Read(b []byte) (int, error) {
	c.fill()
	return c.from.Read(b[:min(len(b), 1<<10)])
}

// TestRoom has less room than a download takes, from the beginning or since others
// fill the disk meanwhile: nothing is left of it, what is there stays, and a later
// call with room goes well.
func TestRoom(t *testing.T) {
	for name, test := range map[string]struct {
		small  bool
		room   int64
		others int64 // How much they take while a kilobyte is read.
		asks   bool  // For the target.
	}{
		"none":               {room: 0},
		"less than none":     {room: -1 << 30},
		"a byte less":        {room: int64(len(content("1.1.0"))) - 1},
		"none, small":        {room: 0, small: true},
		"with others":        {room: 2 * int64(len(content("1.1.0"))), others: 20 << 10, asks: true},
		"with others, small": {room: 2 * int64(len(content("1.1.0"))), others: 1 << 20, small: true, asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := updating(t)
				if test.small {
					w.small = true
					w.smaller(good(), good())
				}
				taken := int64(0)
				part := w.installed() + ".part"
				w.cfg.Room = func() int64 {
					left := test.room - taken
					if info, err := os.Stat(part); err == nil {
						left -= info.Size()
					}
					return left
				}
				w.mirror.Body = func(_ context.Context, name string, data []byte) io.Reader {
					if !strings.HasPrefix(name, "targets/") {
						return nil
					}
					return crowded{bytes.NewReader(data), func() { taken += test.others }}
				}
				w.mirror.Asked()
				if err := w.update("1.1.0"); !errors.Is(err, tufclient.ErrSpace) {
					t.Errorf("got %v", err)
				}
				asked, _ := w.mirror.Asked()
				if asks := slices.ContainsFunc(asked, func(name string) bool { return strings.HasPrefix(name, "targets/") }); asks != test.asks {
					t.Errorf("it asked for %v", asked)
				}
				if _, err := os.Stat(part); err == nil {
					t.Error("a part stays")
				}
				if w.kept()[w.installed()] != string(content("1.0.0")) {
					t.Error("1.0.0 is not installed any more")
				}
				w.mirror.Body, w.cfg.Room = nil, func() int64 { return int64(len(content("1.1.0"))) }
				must(t, w.update("1.1.0"))
				if w.kept()[w.installed()] != string(content("1.1.0")) {
					t.Error("1.1.0 is not installed")
				}
			})
		})
	}
}
