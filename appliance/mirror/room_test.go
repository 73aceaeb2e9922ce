package mirror_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"leap.example/appliance/mirror"
	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// used is how many bytes the copies have.
func (w *world) used() (sum int64) {
	_ = filepath.WalkDir(w.dir, func(_ string, d fs.DirEntry, err error) error { // What goes meanwhile has none.
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// TestRoom has a node with little room be brought a bundle, and copy: what others need
// stays free, and nothing is left that is of no use.
func TestRoom(t *testing.T) {
	w := newWorld(t, "1.0.0", "1.1.0")
	size := int64(len(image("1.1.0")))
	all, most := int64(0), int64(0)
	k := mirror.New(mirror.Config{Dir: w.dir, Document: w.document, Log: slog.New(slog.DiscardHandler), Room: func() int64 {
		now := w.used()
		most = max(most, now)
		return all - now
	}})
	bundle := w.bundle("vendor", "director")
	for name, room := range map[string]int64{"none": 0, "half of it": size / 2, "it, but not its copy": size + size/2} {
		all, most = room, 0
		if err := k.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle))); problem.KindOf(err) != problem.Limit {
			t.Errorf("with room for %s: %v", name, err)
		}
		// Metadata are small, and are not what fills a disk.
		if now := w.used(); now > size/2 || most > max(room, size/2) {
			t.Errorf("with room for %s, it has %d bytes, and had %d of %d", name, now, most, room)
		}
	}
	all = 3 * size
	check(t, k.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle))))
	if data, err := w.take("", "1.1.0"); err != nil || !bytes.Equal(data, image("1.1.0")) {
		t.Errorf("with room: %v", err)
	}
	all = 0
	w.release("1.2.0")
	w.set(func(u *node.Updates) {
		u.Mirror.Vendor, u.Mirror.Director = []string{w.urls["vendor"]}, []string{w.urls["director"]}
	})
	check(t, os.MkdirAll(filepath.Join(w.dir, ".incoming/vendor"), 0o700)) // Of a bundle that was cut off.
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	w.until("the status says that the disk is full", func() bool {
		s := k.Status()
		return len(s) == 2 && strings.Contains(s[1].Error, "the disk is full")
	})
	cancel()
	running.Wait()
	if data, err := w.take("", "1.1.0"); err != nil || !bytes.Equal(data, image("1.1.0")) {
		t.Errorf("what was copied is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, ".incoming")); err == nil {
		t.Error("a bundle that was cut off stays")
	}
}
