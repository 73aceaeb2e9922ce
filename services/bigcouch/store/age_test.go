package store

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// year is by how much a clock goes wrong, in milliseconds.
const year = 365 * 24 * 3600 * 1000

// aging is a log whose entries have ids, and whose clients ask again.
type aging struct {
	t    *testing.T
	s    *Store
	made int
}

func newAging(t *testing.T) *aging {
	a := &aging{t: t, s: openMem(t, vfs.NewMem())}
	commit(t, a.s, Entry{Time: 1 << 40, Cmd: OpenDatabase{testDB.ID}}, Entry{Time: 1 << 40, Cmd: RaiseVersion{Version: EntryVersion}})
	return a
}

// write enters something at a time, and returns its id.
func (a *aging) write(at int64) (op OpID) {
	a.made++
	binary.BigEndian.PutUint64(op[:], uint64(a.made))
	commit(a.t, a.s, Entry{Op: op, Time: at, Cmd: WriteLocal{DB: testDB.ID, ID: "l", Body: []byte("{}")}})
	return op
}

func (a *aging) known(op OpID) bool {
	a.t.Helper()
	v, err := (source{r: a.s.db}).get(place{shard: 1}.key(kindData, tabOp, op[:]))
	if err != nil {
		a.t.Fatal(err)
	}
	return v != ""
}

// One node whose clock is a year ahead, be it among others or alone, takes no
// answer away before its time, and keeps none for good.
func TestClockAhead(t *testing.T) {
	const start, step = int64(1 << 40), 1000
	for name, ahead := range map[string]func(i int) bool{
		"once":          func(i int) bool { return i == 10 },
		"half the time": func(i int) bool { return i%2 == 0 },
		"from now on":   func(i int) bool { return i >= 10 },
		"for a while":   func(i int) bool { return i >= 10 && i < 100 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAging(t)
			clock := func(i int) int64 {
				at := start + int64(i)*step
				if ahead(i) {
					at += year
				}
				return at
			}
			var first OpID
			const young = (OpLife - 2*maxTick) / step // The age of an answer that must be there.
			for i := range young {
				op := a.write(clock(i))
				if i == 5 {
					first = op
				}
			}
			if !a.known(first) {
				t.Error("an answer is gone before its time")
			}
			for i := young; i < 3*OpLife/step; i++ {
				a.write(clock(i))
			}
			stuck := name == "once" || name == "for a while" // Until the log notices.
			if !stuck && a.known(first) {
				t.Error("an answer stays")
			}
			// The clock that was ahead is not seen again, and the log notices.
			h, err := a.s.Head(1)
			if err != nil {
				t.Fatal(err)
			}
			b, err := a.s.Batch(1)
			if err != nil {
				t.Fatal(err)
			}
			now := start + 10*OpLife
			if _, err := b.Apply(Position{Index: (h.Index/resync + 1) * resync}, Entry{Time: now, Cmd: Digest{}}); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(true); err != nil {
				t.Fatal(err)
			}
			for i := range 2 * OpLife / step {
				a.write(now + int64(i)*step)
			}
			if a.known(first) {
				t.Error("an answer stays for good")
			}
			if n := a.s.rows(t, tabOp); n > OpLife/step+maxTick/step+2 {
				t.Errorf("%d answers are kept, want about %d", n, OpLife/step)
			}
		})
	}
}

// After a night without writes what comes first is kept as long as anything.
func TestSilence(t *testing.T) {
	a := newAging(t)
	at := int64(1 << 40)
	a.write(at)
	at += 8 * 3600 * 1000
	first := a.write(at)
	for i := range int64(5000) {
		a.write(at + i)
	}
	if !a.known(first) {
		t.Error("an answer is gone after five seconds")
	}
}

// What was written before the log had an age of its own goes on as it was.
func TestAgeOfOldHeads(t *testing.T) {
	for _, h := range []Head{
		{Position: Position{Index: 5}, Time: 77, Age: 77},
		{Position: Position{5, 2}, Time: 77, Age: 77, History: 3, Members: []byte("m"), Since: 4},
		{Position: Position{Index: 5}, Time: 77, Age: 70},
		{Position: Position{5, 2}, Time: 77, Age: 99, History: 3, Members: []byte("m"), Since: 4},
		{Position: Position{5, 2}, Time: 77, Age: 77, History: 3, Members: []byte("m"), Since: 4, Version: 2},
		{Position: Position{Index: 5}, Time: 77, Age: 77, Version: 2},
	} {
		s := openMem(t, vfs.NewMem())
		if err := s.db.Set(place{shard: 1}.key(kindData, tabApplied), h.encode(), nil); err != nil {
			t.Fatal(err)
		}
		got, err := s.Head(1)
		if err != nil || got.Position != h.Position || got.Time != h.Time || got.Age != h.Age || got.History != h.History || got.Version != max(h.Version, 1) || string(got.Members) != string(h.Members) {
			t.Errorf("%+v is read as %+v, %v", h, got, err)
		}
	}
}
