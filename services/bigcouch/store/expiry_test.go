package store

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Answers are forgotten when their time is over, and looking for more to forget
// begins behind the last one, also in the face of thousands that are gone.
func TestExpiry(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	commit(t, s, Entry{Cmd: OpenDatabase{testDB.ID}})
	op := func(i int) (id OpID) {
		binary.BigEndian.PutUint64(id[:], uint64(i+1))
		return id
	}
	const step = 1000 // Milliseconds.
	for i := range 3 * OpLife / step {
		commit(t, s, Entry{Op: op(i), Time: int64(i+1) * step, Cmd: WriteLocal{DB: testDB.ID, ID: "l", Body: []byte("{}")}})
	}
	if n := s.rows(t, tabOp); n < OpLife/step || n > OpLife/step+2 {
		t.Errorf("%d answers are kept, want about %d", n, OpLife/step)
	}
	at := s.expired(1)
	start := place{shard: 1}.key(kindData, tabOpExpiry)
	if len(at) == 0 {
		t.Fatal("where to go on from is not known")
	}
	if err := (source{r: s.db}).each(start, append(at, 0), func(key, _ []byte) (bool, error) {
		t.Errorf("left behind: %x", key)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
}
