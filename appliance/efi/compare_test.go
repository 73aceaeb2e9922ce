package efi_test

import (
	"slices"
	"testing"

	"leap.example/appliance/efi"
)

// TestCompare compares each version of a list, from old to new, with each.
func TestCompare(t *testing.T) {
	ascending := []string{"nonsense", "0.9", "1", "1.0.0~alpha", "1.0.0~rc1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0~rc1", "10"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i != j {
				want = 1 - 2*b2i(i < j)
			}
			if got := efi.Compare(a, b); got != want {
				t.Errorf("Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
	if !slices.IsSortedFunc(ascending, efi.Compare) {
		t.Error("not sorted")
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
