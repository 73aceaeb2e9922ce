package vm

import (
	"fmt"
	"testing"
)

func TestClockArg(t *testing.T) {
	var khz int64
	if _, err := fmt.Sscanf(clockArg(), "tsc_early_khz=%d", &khz); err != nil || khz < 500_000 || khz > 10_000_000 {
		t.Errorf("%s, %v", clockArg(), err)
	}
}
