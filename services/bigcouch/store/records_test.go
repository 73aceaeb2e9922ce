package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logOf returns the last log of a store into which n documents were written.
func logOf(t testing.TB, n int) recordFile {
	t.Helper()
	disk := vfs.NewMem()
	s := openMem(t, disk)
	commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
	for i := range n {
		commit(t, s, Entry{Cmd: write(Doc{ID: fmt.Sprint(n, i), Body: fmt.Appendf(nil, `{"n":%q}`, strings.Repeat(fmt.Sprint(i), i*7%900))})})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List("db")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var f recordFile
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			if f.data, err = readFile(disk, disk.PathJoin("db", name)); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Sscanf(name, "%d.log", &f.number); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(f.data) < 2*recordBlock {
		t.Fatalf("a log of %d bytes proves little", len(f.data))
	}
	return f
}

// renumber makes an older log of a log.
func renumber(log []byte, from, to uint32) {
	f := recordFile{data: log, number: from}
	for at := 0; at < len(log); {
		b := f.rest(at)
		n := f.chunk(b)
		if n == 0 {
			at += len(b)
			continue
		}
		binary.LittleEndian.PutUint32(b[7:], binary.LittleEndian.Uint32(b[7:])-from+to)
		binary.LittleEndian.PutUint32(b, masked(crc32.Checksum(b[6:n], castagnoli)))
		at += n
	}
}

// Where a power cut stops the writing of a log is not damage, whatever lies
// behind: nothing, zeros, what was never encrypted, or an older log.
func TestCutIsNoDamage(t *testing.T) {
	f := logOf(t, 120)
	older := logOf(t, 140).data
	renumber(older, f.number, f.number-1)
	rng := rand.New(rand.NewPCG(9, 10))
	garbage := make([]byte, len(f.data))
	for i := range garbage {
		garbage[i] = byte(rng.Uint32())
	}
	for range 400 {
		cut := rng.IntN(len(f.data))
		for name, tail := range map[string][]byte{
			"nothing": nil, "zeros": make([]byte, len(f.data)-cut), "garbage": garbage[cut:], "an older log": older[min(cut, len(older)):],
		} {
			torn := recordFile{data: append(bytes.Clone(f.data[:cut]), tail...), number: f.number}
			if at, damaged := torn.damage(); damaged {
				t.Errorf("cut at %d of %d, then %s: damage at %d", cut, len(f.data), name, at)
			}
		}
	}
}

// FuzzRecords reads anything as a log and as a manifest.
func FuzzRecords(f *testing.F) {
	log := logOf(f, 120)
	f.Add(log.data[:500], false, log.number)
	f.Add(log.data[:500], true, log.number)
	f.Add(make([]byte, recordBlock+5), false, uint32(0))
	f.Fuzz(func(t *testing.T, data []byte, manifest bool, number uint32) {
		r := recordFile{data: data, manifest: manifest, number: number}
		if at, damaged := r.damage(); damaged && at >= len(data) {
			t.Errorf("damage at %d of %d", at, len(data))
		}
	})
}
