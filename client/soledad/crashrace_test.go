package soledad_test

import (
	"fmt"
	"sync"
	"testing"

	"leap.example/client/soledad"
	"leap.example/client/soledad/soledadtest"
)

func TestPowerFailsUnderMany(t *testing.T) {
	for seed := range uint64(6) {
		fs := soledadtest.NewCrashFS(t.TempDir(), 512, seed)
		s, err := fs.Open(t.Context(), "store", [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		fs.CrashAfter(20 + int(seed)*7)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				for j := range 20 {
					_ = s.Update(t.Context(), func(tx *soledad.Tx) error { // The power fails.
						return tx.Put(soledad.Doc{ID: fmt.Sprintf("n/%d-%d", i, j), Type: "n", Body: []byte("x")})
					})
				}
			})
			wg.Go(func() {
				for range 20 {
					_ = s.View(t.Context(), func(tx *soledad.Tx) error {
						return tx.Each("n", func(soledad.Doc) error { return nil })
					})
				}
			})
		}
		wg.Wait()
		fs.Crash()
		_ = s.Close() // It is dead.
		if s, err = fs.Open(t.Context(), "store", [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		fs.Close()
	}
}
