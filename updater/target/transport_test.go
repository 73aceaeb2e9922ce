package target_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"leap.example/updater/target"
)

func TestDeltaPath(t *testing.T) {
	from, to := sha256.Sum256([]byte("old")), sha256.Sum256([]byte("new"))
	p := target.DeltaPath(from, to)
	if err := target.CheckPath(p); err != nil {
		t.Error(err)
	}
	if a, b, err := target.ParseDeltaPath(p); a != from || b != to || err != nil {
		t.Errorf("%s is read as %x, %x, %v", p, a, b, err)
	}
	for _, bad := range []string{"", "deltas/", "deltas/-.bsz", strings.ToUpper(p), p + "x", p[1:], "x" + p, strings.Replace(p, "-", "", 1), strings.Replace(p, "-", "-00", 1), p[:len(p)-6] + ".bsz"} {
		if _, _, err := target.ParseDeltaPath(bad); !errors.Is(err, target.ErrPath) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := target.PackedPath(node().Path()); got != "node/amd64/1.4.0/leap.efi.zst" || target.CheckPath(got) != nil {
		t.Error(got)
	}
}
