package volume

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestFormatSizes formats partitions whose last group of blocks is of any size.
func TestFormatSizes(t *testing.T) {
	for _, mib := range []int64{200, 256, 257, 271, 272, 273, 385} {
		t.Run(fmt.Sprint(mib), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "perm")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, mib<<20); err != nil {
				t.Fatal(err)
			}
			if err := withPartition(path, format); err != nil {
				t.Fatal(err)
			}
			fsck(t, path)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			sb := make([]byte, 1024)
			if _, err := f.ReadAt(sb, superblock); err != nil {
				t.Fatal(err)
			}
			// The kernel wants whole blocks of the table of inodes in each group
			// (fs/ext4/super.c: s_itb_per_group).
			const blockSize = 4096
			inodes := binary.LittleEndian.Uint32(sb[0x28:])
			size := binary.LittleEndian.Uint16(sb[0x58:])
			if inodes*uint32(size)%blockSize != 0 {
				t.Errorf("%d inodes of %d bytes in a group", inodes, size)
			}
		})
	}
}
