package mirror_test

import (
	"bytes"
	"testing"

	"leap.example/services/protocol/problem"
)

// TestUnpackedBytes: a bundle takes no more of the disk than it has bytes itself.
func TestUnpackedBytes(t *testing.T) {
	w := newWorld(t, "1.0.0")
	k := w.keeper()
	bundle := w.bundle("vendor", "director")
	if err := k.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle)/4)); problem.KindOf(err) != problem.Invalid {
		t.Errorf("more than it says: %v", err)
	}
	check(t, k.Import(t.Context(), bytes.NewReader(bundle), int64(len(bundle))))
}
