package cluster_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFirmware has a node start from its disk, and go on to when nobody says so.
func TestFirmware(t *testing.T) {
	given := blank(t, config(t, nodeConfig("one", "10.77.0.11/24")))
	given.QEMU.Firmware, given.Firmware = t.TempDir(), true
	for _, name := range []string{"OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"} {
		if err := os.WriteFile(filepath.Join(given.QEMU.Firmware, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"first", "again"} {
		t.Run(name, func(t *testing.T) {
			c := open(t, given)
			listen(t, c, "one")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := c.Start(ctx); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := c.Node("one").Machine().Save(dir); err != nil {
				t.Fatal(err)
			}
			about, err := os.ReadFile(filepath.Join(dir, "one.qemu.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if text := string(about); !strings.Contains(text, "if=pflash,format=raw,file="+filepath.Join(given.Dir, "one.vars")) || strings.Contains(text, "-kernel") || strings.Contains(text, "-initrd") {
				t.Errorf("QEMU was told %s", text)
			}
		})
		given.Firmware = false
	}
}
