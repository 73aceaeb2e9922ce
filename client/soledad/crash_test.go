package soledad_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
)

// write makes document number n with others around it, so that transactions
// have several pages; the number of documents tells a half transaction.
func write(tx *soledad.Tx, n int) error {
	for i := range 3 {
		d := soledad.Doc{ID: fmt.Sprintf("msg/%06d-%d", n, i), Body: []byte(strings.Repeat(fmt.Sprint(n), 200*(n%7+1)))}
		if err := tx.Put(d); err != nil {
			return err
		}
	}
	if n%5 == 4 {
		if err := tx.Delete(fmt.Sprintf("msg/%06d-0", n-1)); err != nil {
			return err
		}
	}
	return tx.LocalPut("outbox", fmt.Sprint(n), []byte("queued"))
}

// check checks that the store holds exactly the transactions 0 to some n >=
// acknowledged, all of them whole, and is sound. It returns n+1.
func check(t *testing.T, s *soledad.Store, acknowledged int) int {
	t.Helper()
	n := 0
	err := s.View(t.Context(), func(tx *soledad.Tx) error {
		sound := ""
		if err := tx.SQL().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
			return fmt.Errorf("integrity: %s, %w", sound, err)
		}
		if err := tx.LocalEach("outbox", func(string, []byte) error { n++; return nil }); err != nil {
			return err
		}
		for i := range n {
			if _, err := tx.LocalGet("outbox", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		docs := 0
		if err := tx.Each("msg", func(soledad.Doc) error { docs++; return nil }); err != nil {
			return err
		}
		if want := 3*n - n/5; docs != want {
			return fmt.Errorf("%d transactions left %d documents, want %d", n, docs, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < acknowledged {
		t.Fatalf("%d transactions were acknowledged, %d are here", acknowledged, n)
	}
	return n
}

func TestPowerFailures(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for _, size := range []int{512, 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(size), 7))
			fs := soledadtest.NewCrashFS(t.TempDir(), size, uint64(size))
			defer fs.Close()
			key := newKey(t)
			n, crashes := 0, 0
			for range rounds {
				// The power may fail while the store is opened, too.
				fs.CrashAfter(1 + rnd.IntN(300))
				s, err := fs.Open(t.Context(), "store.db", key)
				for err == nil {
					if err = s.Update(t.Context(), func(tx *soledad.Tx) error { return write(tx, n) }); err == nil {
						n++
					}
				}
				fs.Crash()
				if s != nil {
					_ = s.Close() // It is dead.
				}
				crashes++
				s, err = fs.Open(t.Context(), "store.db", key)
				if err != nil {
					t.Fatalf("after crash %d: %v", crashes, err)
				}
				n = check(t, s, n)
				if err := s.Close(); err != nil {
					t.Fatalf("closing after crash %d: %v", crashes, err)
				}
			}
			t.Logf("%d power failures, %d transactions", crashes, n)
			if n < rounds/2 {
				t.Errorf("only %d transactions were made", n)
			}
		})
	}
}

// TestTheSimulatorBites: without the syncs of WAL and FULL the same failures
// do lose what was acknowledged, so the test above proves something.
func TestTheSimulatorBites(t *testing.T) {
	lost := false
	for seed := range uint64(20) {
		fs := soledadtest.NewCrashFS(t.TempDir(), 4096, seed)
		key := newKey(t)
		s, err := fs.Open(t.Context(), "store.db", key)
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(t.Context(), func(tx *soledad.Tx) error { return nil })
		for n := 0; n < 10 && err == nil; n++ {
			err = s.Update(t.Context(), func(tx *soledad.Tx) error {
				if n == 5 {
					fs.DropSyncs()
				}
				return write(tx, n)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		fs.Crash()
		_ = s.Close() // It is dead.
		s, err = fs.Open(t.Context(), "store.db", key)
		if err != nil {
			lost = true
		} else {
			n := 0
			err := s.View(t.Context(), func(tx *soledad.Tx) error {
				return tx.LocalEach("outbox", func(string, []byte) error { n++; return nil })
			})
			lost = lost || err != nil || n < 10
			if err := s.Close(); err != nil {
				t.Log(err)
			}
		}
		fs.Close()
	}
	if !lost {
		t.Error("nothing is lost although nothing was synced")
	}
}

// TestKill kills a process that writes, again and again. The process is this
// test binary.
func TestKill(t *testing.T) {
	if dir := os.Getenv("SOLEDAD_TEST_DIR"); dir != "" {
		writer(t, dir)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	acknowledged := 0
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$", "-test.v")
		cmd.Env = append(os.Environ(), "SOLEDAD_TEST_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for i := 0; i < 10*(round+1) && lines.Scan(); {
			if n := 0; strings.HasPrefix(lines.Text(), "done ") {
				if _, err := fmt.Sscanf(lines.Text(), "done %d", &n); err != nil {
					t.Fatal(err)
				}
				acknowledged = n + 1
				i++
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // It was killed.
		s, err := soledad.Open(t.Context(), path, [32]byte{1})
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		check(t, s, acknowledged)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acknowledged < 100 {
		t.Errorf("only %d transactions", acknowledged)
	}
}

// writer writes until it is killed.
func writer(t *testing.T, dir string) {
	s := open(t, filepath.Join(dir, "store.db"), [32]byte{1})
	n := 0
	err := s.View(t.Context(), func(tx *soledad.Tx) error {
		return tx.LocalEach("outbox", func(string, []byte) error { n++; return nil })
	})
	for ; err == nil; n++ {
		err = s.Update(t.Context(), func(tx *soledad.Tx) error { return write(tx, n) })
		fmt.Printf("\ndone %d\n", n)
	}
	t.Fatal(err)
}
