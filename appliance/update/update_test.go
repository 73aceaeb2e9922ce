package update_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"leap.example/appliance/node"
	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tuftest"
)

// bubble runs a test in time that passes when nothing happens.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
}

func TestGood(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.lives("1.0.0", node.UpdateNothing)
		w.released("1.1.0")
		m.lives("1.1.0", node.UpdateNothing)
		w.turn("", "")
		if !slices.Equal(m.starts, []string{"1.0.0", "1.1.0"}) {
			t.Errorf("it started %v", m.starts)
		}
		for name := range m.files() {
			if strings.HasPrefix(name, "leap_") {
				t.Errorf("%s stays", name)
			}
		}
	})
}

// TestDelta has a release come by a delta from the one that runs, and, where that is
// of no use, whole.
func TestDelta(t *testing.T) {
	for name, broken := range map[string]bool{"good": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.machine("n1", "1.0.0")
				var patch bytes.Buffer
				must(t, delta.Build(t.Context(), &patch, content("1.0.0"), content("1.1.0"), nil))
				path := target.DeltaPath(sha256.Sum256(content("1.0.0")), sha256.Sum256(content("1.1.0")))
				w.vendor.Add("release", path, patch.Bytes(), nil)
				w.released("1.1.0")
				if broken {
					for name := range w.mirrors["vendor"].Files {
						if strings.HasSuffix(name, ".bsz") {
							w.mirrors["vendor"].Files[name] = []byte("garbage")
						}
					}
				}
				m.lives("1.1.0", node.UpdateNothing)
				asked, _ := w.mirrors["vendor"].Asked()
				has := func(suffix string) bool {
					return slices.ContainsFunc(asked, func(name string) bool { return strings.HasSuffix(name, suffix) })
				}
				if !has(".bsz") || has("leap.efi") != broken {
					t.Errorf("it asked for %v", asked)
				}
			})
		})
	}
}

// TestBad has a release that never gets healthy: it is not tried again, nobody follows
// it, and a newer one is taken.
func TestBad(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.machine("n1", "1.0.0"), w.machine("n2", "1.0.0")
		a.ill["1.1.0"] = true
		w.released("1.1.0")
		if s := a.lives("1.0.0", node.UpdateBad); !strings.Contains(s.Reason, "it is ill") || !strings.Contains(s.Reason, "leap update again") {
			t.Errorf("it says %s", s.Reason)
		}
		w.turn("back", "n1")
		if s := b.lives("1.0.0", node.UpdateStopped); !strings.Contains(s.Reason, "n1 went back from release 1.1.0: it is ill") {
			t.Errorf("it says %s", s.Reason)
		}
		time.Sleep(24 * time.Hour)
		b.lives("1.0.0", node.UpdateStopped)
		a.lives("1.0.0", node.UpdateBad)
		if len(a.starts) != 3 || len(b.starts) != 1 {
			t.Errorf("they started %v and %v", a.starts, b.starts)
		}
		w.released("1.2.0")
		b.lives("1.2.0", node.UpdateNothing)
		a.lives("1.2.0", node.UpdateNothing)
		w.turn("", "")
	})
}

// TestAgain has an operator look and have a bad release tried once more.
func TestAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.ill["1.1.0"] = true
		w.released("1.1.0")
		m.lives("1.0.0", node.UpdateBad)
		must(t, m.u.Again(t.Context()))
		w.turn("", "")
		m.live() // It is ill still.
		m.is("1.0.0", node.UpdateBad)
		m.ill = nil
		must(t, m.u.Again(t.Context()))
		m.lives("1.1.0", node.UpdateNothing)
		w.turn("", "")
	})
}

// TestSides has only one of the two sides list a release, and both list different ones.
func TestSides(t *testing.T) {
	for name, test := range map[string]struct {
		list  func(t *testing.T, w *world)
		state string
		says  string
	}{
		"vendor alone":   {func(t *testing.T, w *world) { w.vendor.AddNode("1.1.0", content("1.1.0")) }, node.UpdateDisallowed, "vendor lists node/amd64/1.1.0/leap.efi"},
		"provider alone": {func(t *testing.T, w *world) { w.director.AddNode("1.1.0", content("1.1.0")) }, node.UpdateUnvouched, "the vendor does not vouch for"},
		"different": {func(t *testing.T, w *world) {
			w.vendor.AddNode("1.1.0", content("1.1.0"))
			w.director.AddNode("1.1.0", content("1.2.0"))
		}, node.UpdateDisallowed, "is one file for vendor and another for director"},
		"other machines": {func(t *testing.T, w *world) {
			for _, r := range []*tuftest.Repo{w.vendor, w.director} {
				d := tuftest.Node("1.1.0")
				d.LeastRAM = 4096
				custom, err := d.Encode()
				must(t, err)
				r.Add("release", d.Path(), content("1.1.0"), custom)
			}
		}, node.UpdateNothing, "4096"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				m := w.machine("n1", "1.0.0")
				test.list(t, w)
				w.publish()
				if s := m.lives("1.0.0", test.state); !strings.Contains(s.Reason, test.says) {
					t.Errorf("it says %s", s.Reason)
				}
				if len(m.starts) != 1 {
					t.Errorf("it started %v", m.starts)
				}
			})
		})
	}
}

// TestExpired has the metadata end.
func TestExpired(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		time.Sleep(40 * 24 * time.Hour)
		m.lives("1.0.0", node.UpdateExpired)
		if len(m.starts) != 1 {
			t.Errorf("it started %v", m.starts)
		}
	})
}

// TestPlan has waves, a halt, and a canary.
func TestPlan(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m, canary := w.machine("n1", "1.0.0"), w.machine("n2", "1.0.0")
		canary.doc.Updates.Canary = true
		w.released("1.1.0")
		begin := time.Now()
		r := target.Rollout{Release: "1.1.0", Begins: begin, Waves: []target.Wave{{Percent: 1}, {After: target.Duration(30 * time.Hour), Percent: 100}}}
		w.plan(r)
		_, pause := m.look()
		s := m.is("1.0.0", node.UpdateDue)
		if !s.Until.Equal(begin.Add(30*time.Hour)) || pause > 9*time.Hour+time.Minute {
			t.Errorf("it waits until %v, and looks in %v", s.Until, pause)
		}
		canary.lives("1.1.0", node.UpdateNothing)
		r.Halt = true
		w.plan(r)
		m.lives("1.0.0", node.UpdateHeld)
		time.Sleep(48 * time.Hour)
		m.lives("1.0.0", node.UpdateHeld)
		r.Halt = false
		w.plan(r)
		m.lives("1.1.0", node.UpdateNothing)
	})
}

// TestHaltLate has a halt come when the release is downloaded and only waits for the
// time at which the node may restart.
func TestHaltLate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.doc.Updates.Windows = []node.Window{{From: "03:00", For: node.Duration(time.Hour)}} // It is midnight.
		w.released("1.1.0")
		r := target.Rollout{Release: "1.1.0", Begins: time.Now(), Waves: []target.Wave{{Percent: 100}}}
		w.plan(r)
		m.lives("1.0.0", node.UpdateWindow)
		if m.files()["leap_1.1.0.efi"] == "" {
			t.Error("it is not downloaded")
		}
		w.turn("", "")
		r.Halt = true
		w.plan(r)
		time.Sleep(3*time.Hour + time.Minute)
		m.lives("1.0.0", node.UpdateHeld)
		r.Halt = false
		w.plan(r)
		m.lives("1.1.0", node.UpdateNothing)
	})
}

// TestWindow has a node wait for the night, and not longer.
func TestWindow(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.doc.Updates.Windows = []node.Window{{From: "02:00", For: node.Duration(time.Hour)}}
		w.released("1.1.0")
		begin := time.Now()
		for range 100 {
			off, pause := m.look()
			if off {
				m.start()
				break
			}
			time.Sleep(pause)
		}
		if m.version != "1.1.0" || time.Since(begin) > 2*time.Hour+time.Minute {
			t.Errorf("after %v it runs %s: %+v", time.Since(begin), m.version, m.u.Status())
		}
	})
}

// TestTurn has two nodes want to restart at once, with a database that is lame, one
// that is down, and a node that takes the turn and is gone.
func TestTurn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.machine("n1", "1.0.0"), w.machine("n2", "1.0.0")
		w.released("1.1.0")
		w.shared.lame = errors.New("db3 does not answer")
		if s := a.lives("1.0.0", node.UpdateTurn); !strings.Contains(s.Reason, "while a database node is down: db3") {
			t.Errorf("it says %s", s.Reason)
		}
		w.turn("", "")
		w.shared.lame, w.shared.down = nil, errors.New("no quorum")
		if s := a.lives("1.0.0", node.UpdateTurn); !strings.Contains(s.Reason, "no quorum") {
			t.Errorf("it says %s", s.Reason)
		}
		w.shared.down = nil
		if off, _ := a.look(); !off {
			t.Fatal("it does not restart")
		}
		w.turn("restarting", "n1")
		if s := b.lives("1.0.0", node.UpdateTurn); !strings.Contains(s.Reason, "n1 restarts for release 1.1.0") {
			t.Errorf("it says %s", s.Reason)
		}
		time.Sleep(time.Hour)
		if s := b.lives("1.0.0", node.UpdateStopped); !strings.Contains(s.Reason, "n1 has restarted for release 1.1.0 and is not good again") {
			t.Errorf("it says %s", s.Reason)
		}
		a.start() // After all.
		a.lives("1.1.0", node.UpdateNothing)
		b.lives("1.1.0", node.UpdateNothing)
		w.turn("", "")
	})
}

// TestThree has three nodes live at once, which come back some time after they have
// restarted: never are two of them away.
func TestThree(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		var nodes []*machine
		for k := range 3 {
			nodes = append(nodes, w.machine(fmt.Sprintf("db%d", k+1), "1.0.0"))
		}
		w.released("1.1.0")
		w.plan(target.Rollout{Release: "1.1.0", Begins: time.Now(), Waves: []target.Wave{{After: target.Duration(time.Hour), Percent: 100}}})
		var away, most atomic.Int32
		var living sync.WaitGroup
		for _, m := range nodes {
			m.booting = func() {
				most.Store(max(most.Load(), away.Add(1)))
				time.Sleep(40 * time.Second)
				away.Add(-1)
			}
			living.Go(func() {
				for m.version == "1.0.0" {
					m.live()
					time.Sleep(max(time.Until(m.u.Status().Until), 20*time.Second))
				}
				m.live() // It gives the turn back.
			})
		}
		begin := time.Now()
		living.Wait()
		for _, m := range nodes {
			m.is("1.1.0", node.UpdateNothing)
		}
		if most.Load() != 1 || time.Since(begin) > 2*time.Hour {
			t.Errorf("%d were away at once, and it took %v", most.Load(), time.Since(begin))
		}
		w.turn("", "")
	})
}

// TestNextMeanwhile has the next release be there when a node has come up with one: while
// it fetches that, others may restart.
func TestNextMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		if off, _ := m.look(); !off {
			t.Fatalf("it does not restart: %+v", m.u.Status())
		}
		m.start()
		w.turn("restarting", "n1")
		w.released("1.2.0")
		drops := 0
		w.drop = func(name string) {
			if strings.HasSuffix(name, "1.2.0/"+path.Base(name)) {
				drops++
				w.turn("", "")
			}
		}
		m.lives("1.2.0", node.UpdateNothing)
		if drops == 0 {
			t.Error("nothing came slowly")
		}
		w.turn("", "")
	})
}

// TestTurnTaken has a node take the turn, and lose its power for good.
func TestTurnTaken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := w.machine("n1", "1.0.0"), w.machine("n2", "1.0.0")
		w.released("1.1.0")
		a.cut = func(where string) {
			if where == "after an agreement" {
				panic(errOff)
			}
		}
		a.look()
		w.turn("taken", "n1")
		b.lives("1.0.0", node.UpdateTurn)
		time.Sleep(11 * time.Minute)
		b.lives("1.1.0", node.UpdateNothing)
		w.turn("", "")
	})
}

// TestCuts takes the power at each thing that is done, of a release that is good and
// of one that is not, and expects the same end.
func TestCuts(t *testing.T) {
	for _, ill := range []bool{false, true} {
		const never = 1 << 30
		for n := range live(t, ill, never) {
			t.Run(fmt.Sprintf("ill %v, at %d", ill, n), func(t *testing.T) {
				t.Parallel()
				live(t, ill, n)
			})
		}
	}
}

// live has a node update itself, with the power cut at the n-th thing that it does, and
// returns how many things it did.
func live(t *testing.T, ill bool, n int) (did int) {
	bubble(t, func(t *testing.T, w *world) {
		m, at := w.machine("n1", "1.0.0"), ""
		m.ill["1.1.0"] = ill
		w.released("1.1.0")
		m.cut = func(where string) {
			if did++; did == n+1 {
				at = where
				panic(errOff)
			}
		}
		m.live()
		if ill {
			m.is("1.0.0", node.UpdateBad)
			w.turn("back", "n1")
		} else {
			m.is("1.1.0", node.UpdateNothing)
			w.turn("", "")
		}
		if t.Failed() {
			t.Fatalf("the power was cut %s", at)
		}
	})
	return did
}

// TestTrust has roots change: of the document, and by a release that has its own.
func TestTrust(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		m.lives("1.0.0", node.UpdateNothing)
		secret := m.files()["secret"]
		w.director = tuftest.New(t, time.Now())
		w.publish()
		m.live()
		if s := m.u.Status(); s.State != node.UpdateFailed || !strings.Contains(s.Reason, "director") {
			t.Errorf("with another director it says %+v", s)
		}
		m.doc.Updates.Director.Root = string(w.director.RootFile(1))
		w.released("1.1.0")
		m.lives("1.1.0", node.UpdateNothing)
		m.doc.Updates.Vendor.Root = ""
		m.live()
		if s := m.u.Status(); s.State != node.UpdateFailed || !strings.Contains(s.Reason, "nobody is trusted") {
			t.Errorf("without a vendor it says %+v", s)
		}
		if got := m.files()["secret"]; got != secret || len(got) != 64 {
			t.Errorf("the secret %s is another one, or none", got)
		}
	})
}

// TestAway has the repositories be away while a release is on trial.
func TestAway(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		if off, _ := m.look(); !off {
			t.Fatal("it does not restart")
		}
		m.start()
		w.away = true
		m.look()
		if m.proves() {
			t.Error("it has seen the repositories")
		}
		w.away = false
		m.look()
		if !m.proves() {
			t.Error("it has not seen the repositories")
		}
	})
}

// TestBroken has what is kept be damaged.
func TestBroken(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		must(t, os.MkdirAll(filepath.Join(m.dir, "update"), 0o700))
		must(t, os.WriteFile(filepath.Join(m.dir, "update/state.json"), []byte("{"), 0o600))
		must(t, os.WriteFile(filepath.Join(m.dir, "update/secret"), nil, 0o600))
		must(t, os.WriteFile(filepath.Join(m.dir, "update/leap_0.9.0.efi.part"), nil, 0o600))
		m.lives("1.1.0", node.UpdateNothing)
		w.turn("", "")
	})
}

// TestUnsettled has a document be on trial, and no updates wanted.
func TestUnsettled(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		m := w.machine("n1", "1.0.0")
		w.released("1.1.0")
		m.settled = false
		m.look()
		m.is("1.0.0", node.UpdateBusy)
		m.settled, m.doc.Updates = true, nil
		m.look()
		m.is("1.0.0", node.UpdateOff)
	})
}
