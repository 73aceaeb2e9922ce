package update_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

// smaller has the vendor publish a delta from 1.0.0 to 1.1.0, and 1.1.0 packed, beside
// the release.
func (w *world) smaller() {
	var patch, packed bytes.Buffer
	must(w.t, delta.Build(w.t.Context(), &patch, content("1.0.0"), content("1.1.0"), nil))
	must(w.t, delta.Pack(&packed, bytes.NewReader(content("1.1.0"))))
	w.vendor.Add("release", target.DeltaPath(sha256.Sum256(content("1.0.0")), sha256.Sum256(content("1.1.0"))), patch.Bytes(), nil)
	w.vendor.Add("release", target.PackedPath(tuftest.Node("1.1.0").Path()), packed.Bytes(), nil)
	w.released("1.1.0")
}

// TestDrops has a release come drop by drop, as what has changed, packed, and whole, of
// which the first two turn out wrong: whoever needs the boot partition meanwhile, as an
// operator does who pushes a release or goes back, has it.
func TestDrops(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.smaller()
		for name, data := range w.mirrors["vendor"].Files {
			if strings.HasSuffix(name, ".bsz") || strings.HasSuffix(name, ".zst") {
				bad := bytes.Clone(data)
				bad[len(bad)-1] ^= 1
				w.mirrors["vendor"].Files[name] = bad
			}
		}
		copied, seen := filepath.Join(m.dir, "update/leap_running"), map[string]int{}
		w.drop = func(name string) {
			if _, err := m.slots().List(t.Context()); err != nil {
				t.Errorf("while %s comes: %v", name, err)
			}
			seen[path.Ext(name)]++
			if _, err := os.Stat(copied); err != nil && path.Ext(name) == ".bsz" {
				t.Errorf("while what has changed comes: %v", err)
			}
		}
		if off, _ := m.look(); !off {
			t.Fatalf("it does not restart: %+v", m.u.Status())
		}
		if seen[".bsz"] == 0 || seen[".zst"] == 0 || seen[".efi"] == 0 {
			t.Errorf("there came %v", seen)
		}
		if _, err := os.Stat(copied); err == nil {
			t.Error("the copy of the release that runs stays")
		}
		m.start()
		m.lives("1.1.0", node.UpdateNothing)
	})
}

// TestCutCopy has the power be cut while there is a copy of the release that runs.
func TestCutCopy(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		must(t, os.MkdirAll(filepath.Join(m.dir, "update"), 0o700))
		must(t, os.WriteFile(filepath.Join(m.dir, "update/leap_running"), content("1.0.0"), 0o600))
		m.lives("1.0.0", node.UpdateNothing)
		if _, left := m.files()["leap_running"]; left {
			t.Error("the copy stays")
		}
	})
}

// TestWaits has a node wait for its window with a release that is downloaded: it does not
// read it at each look. What becomes of it on the disk meanwhile, it finds out when it
// arms it, and fetches it again.
func TestWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.doc.Updates.Windows = []node.Window{{From: "02:00", For: node.Duration(time.Hour)}} // It is midnight.
		w.released("1.1.0")
		m.look()
		m.is("1.0.0", node.UpdateWindow)
		path := filepath.Join(m.dir, "update/leap_1.1.0.efi")
		bad := content("1.1.0")
		bad[len(bad)-1] ^= 1
		must(t, os.WriteFile(path, bad, 0o600))
		m.look()
		m.is("1.0.0", node.UpdateWindow)
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("it was looked through: %v", err)
		}
		m.doc.Updates.Windows = nil
		m.look()
		if s := m.is("1.0.0", node.UpdateFailed); !strings.Contains(s.Reason, "1.1.0") {
			t.Errorf("it says %q", s.Reason)
		}
		m.lives("1.1.0", node.UpdateNothing)
	})
}

// TestRoom has little room on the writable partition: what it has is kept for others.
func TestRoom(t *testing.T) {
	size := int64(len(content("1.1.0")))
	for name, test := range map[string]struct {
		room  int64
		state string
		asks  []string // For what, of the release.
	}{
		"none":                        {0, node.UpdateFailed, nil},
		"of a byte less":              {size - 1, node.UpdateFailed, nil},
		"not for what runs beside it": {2*size - 1, node.UpdateArmed, []string{".zst"}},
		"for all":                     {2 * size, node.UpdateArmed, []string{".bsz"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.machine("n1", "1.0.0")
				w.smaller()
				most := int64(0)
				m.room = func() int64 {
					now := int64(0)
					all, err := filepath.Glob(filepath.Join(m.dir, "update/leap_*"))
					must(t, err)
					for _, f := range all {
						info, err := os.Stat(f)
						must(t, err)
						now += info.Size()
					}
					most = max(most, now)
					return test.room - now
				}
				off, _ := m.look()
				if s := m.u.Status(); off != (test.state == node.UpdateArmed) || !off && (s.State != test.state || !strings.Contains(s.Reason, "the disk is full")) {
					t.Errorf("it says %+v", s)
				}
				var asks []string
				asked, _ := w.mirrors["vendor"].Asked()
				for _, name := range asked {
					if strings.HasPrefix(name, "targets/") {
						asks = append(asks, path.Ext(name))
					}
				}
				if !slices.Equal(asks, test.asks) {
					t.Errorf("it asked for %v", asked)
				}
				if most > test.room {
					t.Errorf("it had %d bytes of %d", most, test.room)
				}
				for name := range m.files() {
					if strings.HasPrefix(name, "leap_") && !off {
						t.Errorf("%s stays", name)
					}
				}
			})
		})
	}
}
