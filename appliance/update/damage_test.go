package update_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
)

// TestDamage has what is trusted be damaged: the node begins again by itself, with the
// newest root that is left, says so until an operator has looked, and updates.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"half":    func(data []byte) []byte { return data[:len(data)/2] },
		"garbage": func(data []byte) []byte { return bytes.Repeat([]byte("garbage"), len(data)) },
		"end":     func(data []byte) []byte { return append(data[:len(data)-512], bytes.Repeat([]byte("x"), 512)...) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.vendor.NextRoot(func() {})
				w.publish()
				m := w.machine("n1", "1.0.0")
				m.lives("1.0.0", node.UpdateNothing)
				if said := m.u.Damage(); said != "" {
					t.Errorf("before anything is damaged it says %s", said)
				}
				for _, repository := range []string{"vendor", "director"} {
					path := filepath.Join(m.dir, "update", repository+".trusted")
					data, err := os.ReadFile(path)
					must(t, err)
					must(t, os.WriteFile(path, damage(data), 0o600))
				}
				w.away = true
				m.look()
				if s := m.u.Status(); s.State != node.UpdateFailed || !strings.Contains(s.Reason, "there is no network") {
					t.Errorf("without the repositories it says %+v", s)
				}
				w.away = false
				m.lives("1.0.0", node.UpdateNothing)
				if said := m.u.Damage(); !strings.Contains(said, "repository vendor could not be read") || !strings.Contains(said, "leap update again") {
					t.Errorf("it says %q", said)
				}
				must(t, m.u.Again(t.Context()))
				m.live()
				if said := m.u.Damage(); said != "" {
					t.Errorf("after an operator has looked it says %s", said)
				}
				w.released("1.1.0")
				m.lives("1.1.0", node.UpdateNothing)
			})
		})
	}
}

// TestDamagedOld has a mirror take its chance when what is trusted is damaged, and show
// what is old: what is left keeps it from that.
func TestDamagedOld(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		old := w.mirrors["vendor"]
		w.released("1.1.0")
		m := w.machine("n1", "1.1.0")
		m.lives("1.1.0", node.UpdateNothing)
		path := filepath.Join(m.dir, "update/vendor.trusted")
		data, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, append(data[:len(data)-512], bytes.Repeat([]byte("x"), 512)...), 0o600))
		w.mirrors["vendor"] = old
		m.look()
		if s := m.u.Status(); s.State != node.UpdateFailed || !strings.Contains(s.Reason, "older than what is known") {
			t.Errorf("it says %+v", s)
		}
	})
}

// TestProve has a release wait for the repositories: it does not read its state again
// and again meanwhile.
func TestProve(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		if off, _ := m.look(); !off {
			t.Fatal("it does not restart")
		}
		m.start()
		proved := make(chan error)
		go func() { proved <- m.u.Prove(t.Context()) }()
		time.Sleep(time.Second)
		path := filepath.Join(m.dir, "update/state.json")
		must(t, os.Rename(path, path+".away")) // One that reads it now believes that nothing is on trial.
		select {
		case err := <-proved:
			t.Fatalf("it has read it again: %v", err)
		case <-time.After(time.Minute):
		}
		must(t, os.Rename(path+".away", path))
		m.look()
		if err := <-proved; err != nil {
			t.Error(err)
		}
	})
}
