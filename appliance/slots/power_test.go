package slots

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/efi/efitest"
)

// tree is what files there are: their names below a directory, and what is in them.
type tree map[string]string

// A power is a disk of which a copy is kept as a cut of the power leaves it,
// before each change and after the last one. FAT promises nothing of what was not
// synced: a name that was changed may be the old one, the new one, both or none,
// and of a file anything from nothing to all may be there.
type power struct {
	t         *testing.T
	esp, perm string
	durable   tree            // Of the ESP: what was synced.
	unsynced  map[string]bool // Names of files whose content was not.
	left      []wreck
	seen      map[string]bool // What is in left.
}

// A wreck is what a cut leaves.
type wreck struct {
	when      string
	esp, perm tree
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) tree {
	t.Helper()
	all := tree{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(text)
		return err
	})
	must(t, err)
	return all
}

func (all tree) write(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, entries), 0o700))
	for name, text := range all {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// now is the ESP if all names are on the disk and the share of what is not synced.
func (p *power) now(share int) tree {
	all := read(p.t, p.esp)
	for name := range p.unsynced {
		all[name] = all[name][:len(all[name])*share/2]
	}
	return all
}

func (p *power) cut(when string) {
	perm := read(p.t, p.perm)
	for share := range 3 {
		now := p.now(share)
		both, neither := maps.Clone(p.durable), tree{}
		for name, text := range now {
			if both[name] = text; p.durable[name] != "" {
				neither[name] = text
			}
		}
		for k, esp := range []tree{p.durable, now, both, neither} {
			is := fmt.Sprint(esp, perm)
			if p.seen[is] {
				continue
			}
			p.seen[is] = true
			p.left = append(p.left, wreck{fmt.Sprintf("before %s, kind %d, %d halves", when, k, share), maps.Clone(esp), perm})
		}
	}
}

func (p *power) name(path string) string { return strings.TrimPrefix(path, p.esp+"/") }

// A half is a file that is being written.
type half struct {
	*os.File
	p *power
}

func (h half) Write(b []byte) (int, error) {
	h.p.cut("writing")
	return h.File.Write(b)
}

func (h half) Sync() error {
	h.p.cut("fsync")
	delete(h.p.unsynced, h.p.name(h.Name()))
	return nil
}

func (p *power) create(path string) (file, error) {
	p.cut("create " + p.name(path))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	p.unsynced[p.name(path)] = true
	return half{f, p}, err
}

func (p *power) rename(from, to string) error {
	p.cut("rename " + p.name(from))
	if p.unsynced[p.name(from)] {
		delete(p.unsynced, p.name(from))
		p.unsynced[p.name(to)] = true
	}
	return os.Rename(from, to)
}

func (p *power) remove(path string) error {
	p.cut("remove " + p.name(path))
	delete(p.unsynced, p.name(path))
	return os.Remove(path)
}

func (p *power) syncDir(path string) error {
	p.cut("sync " + p.name(path))
	in := func(name string) bool { return filepath.Join(p.esp, filepath.Dir(name)) == path }
	maps.DeleteFunc(p.durable, func(name, _ string) bool { return in(name) })
	for name, text := range p.now(1) {
		if in(name) {
			p.durable[name] = text
		}
	}
	return nil
}

func (p *power) keep(path string, content []byte) error {
	p.cut("keep " + filepath.Base(path))
	return osFiles{}.keep(path, content)
}

func (p *power) forget(path string) error {
	p.cut("forget " + filepath.Base(path))
	return osFiles{}.forget(path)
}

// starts is which release the boot loader starts: the newest that is not bad.
func starts(t *testing.T, dir string) Entry {
	t.Helper()
	all, err := list(dir)
	must(t, err)
	k := slices.IndexFunc(all, func(e Entry) bool { return e.State() != Bad })
	if k < 0 {
		return Entry{}
	}
	return all[k]
}

func uki(version string) string { return string(efitest.UKI(version, "kernel", "initrd")) }

// at is the slots of a node on which a release runs.
func at(esp, perm, running string) *Slots {
	return &Slots{Running: running, Dir: perm, ESP: func(_ context.Context, f func(string) error) error { return f(esp) }}
}

// TestPowerCut cuts the power before and after each step of all that changes
// releases. Whatever is left, each release on the ESP is whole, one of those that
// may be starts, and what was cut off can be done again.
func TestPowerCut(t *testing.T) {
	version := func(name string) string { e, _ := parseName(filepath.Base(name)); return e.Version }
	again := func(s *Slots) error {
		content := uki("1.2.0")
		sum := sha256.Sum256([]byte(content))
		target := Target{Version: "1.2.0", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Again: true}
		return s.Write(t.Context(), target, time.Minute, bytes.NewReader([]byte(content)))
	}
	for name, test := range map[string]struct {
		running string
		before  []string // Files of releases.
		do      func(*Slots) error
		start   []string // What may start after a cut.
		after   []string // Files, once it is done without a cut.
		bad     string   // What is known to be bad, or there, after any cut.
	}{
		"write": {
			"1.1.0",
			[]string{"leap_1.0.0.efi", "leap_1.1.0.efi"},
			again,
			[]string{"1.1.0", "1.2.0"},
			[]string{"leap_1.0.0.efi", "leap_1.1.0.efi", "leap_1.2.0+3.efi"},
			"",
		},
		"write what is there": {
			"1.1.0",
			[]string{"leap_1.0.0.efi", "leap_1.1.0.efi", "leap_1.2.0+0-3.efi"},
			again,
			[]string{"1.1.0", "1.2.0"},
			[]string{"leap_1.0.0.efi", "leap_1.1.0.efi", "leap_1.2.0+3.efi"},
			"",
		},
		"bless": {
			"1.2.0",
			[]string{"leap_1.1.0.efi", "leap_1.2.0+2-1.efi"},
			func(s *Slots) error { return s.Bless(t.Context()) },
			[]string{"1.1.0", "1.2.0"},
			[]string{"leap_1.1.0.efi", "leap_1.2.0.efi"},
			"",
		},
		"condemn": {
			"1.2.0",
			[]string{"leap_1.1.0.efi", "leap_1.2.0+2-1.efi"},
			func(s *Slots) error { return s.Condemn(t.Context(), "ill") },
			[]string{"1.1.0", "1.2.0"},
			[]string{"leap_1.1.0.efi", "leap_1.2.0+0-1.efi"},
			"",
		},
		"settle": {
			"1.2.0",
			[]string{"leap_1.0.0.efi", "leap_1.1.0.efi", "leap_1.2.0.efi", "leap_1.3.0+0-3.efi"},
			func(s *Slots) error { return s.Settle(t.Context()) },
			[]string{"1.2.0"},
			[]string{"leap_1.1.0.efi", "leap_1.2.0.efi"},
			"1.3.0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &power{t: t, esp: t.TempDir(), perm: t.TempDir(), durable: tree{}, unsynced: map[string]bool{}, seen: map[string]bool{}}
			for _, name := range test.before {
				p.durable[filepath.Join(entries, name)] = uki(version(name))
			}
			p.durable.write(t, p.esp)
			s := at(p.esp, p.perm, test.running)
			s.disk = p
			must(t, test.do(s))
			p.cut("the end")
			if len(p.left) < 4 {
				t.Fatalf("the power left only %d disks", len(p.left))
			}
			for _, w := range p.left {
				esp, perm := t.TempDir(), t.TempDir()
				w.esp.write(t, esp)
				w.perm.write(t, perm)
				for name, text := range w.esp {
					if strings.HasPrefix(name, entries) && text != uki(version(name)) {
						t.Errorf("%s: %s is not whole", w.when, name)
					}
				}
				runs := starts(t, esp).Version
				if !slices.Contains(test.start, runs) {
					t.Errorf("%s: %q starts of %v", w.when, runs, slices.Collect(maps.Keys(w.esp)))
					continue
				}
				next := at(esp, perm, test.running)
				known, err := next.Known()
				must(t, err)
				has := func(version string) bool {
					all, err := list(esp)
					return err != nil || slices.ContainsFunc(all, func(e Entry) bool { return e.Version == version })
				}
				if test.bad != "" && !has(test.bad) && len(known) == 0 {
					t.Errorf("%s: nobody knows that %s is bad", w.when, test.bad)
				}
				if !has(test.running) {
					continue // It was on trial, and its name is lost: the last good one runs, and that is all.
				}
				if err := test.do(next); err != nil {
					t.Errorf("%s: again: %v", w.when, err)
				}
				if v := starts(t, esp).Version; !slices.Contains(test.start, v) {
					t.Errorf("%s: again, and %q starts", w.when, v)
				}
			}
			if got := slices.Sorted(maps.Keys(read(t, filepath.Join(p.esp, entries)))); !slices.Equal(got, test.after) {
				t.Errorf("at the end there are %v", got)
			}
		})
	}
}
