package tufclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"leap.example/updater/delta"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
	"leap.example/updater/tuftest"
)

// A small makes what is published in the place of a delta or a packed file, of the
// good one. Nil: nothing is.
type small func(good []byte) []byte

func good() small { return func(good []byte) []byte { return good } }

func signed(bad ...[]byte) small { return func([]byte) []byte { return slices.Concat(bad...) } }

// smaller publishes a delta from 1.0.0 to 1.1.0, and 1.1.0 packed.
func (w *world) smaller(by, packed small) {
	w.t.Helper()
	b, z := both()
	if by != nil {
		w.repo.Add("release", deltaPath(), by(b), nil)
	}
	if packed != nil {
		w.repo.Add("release", packedPath(), packed(z), nil)
	}
	w.repo.Next("release")
	w.republish()
}

// both are the delta and the packed file, made once.
var both = sync.OnceValues(func() (by, packed []byte) {
	var b, z bytes.Buffer
	if err := errors.Join(delta.Build(context.Background(), &b, content("1.0.0"), content("1.1.0"), nil), delta.Pack(&z, bytes.NewReader(content("1.1.0")))); err != nil {
		panic(err) // Into memory, nothing fails.
	}
	return b.Bytes(), z.Bytes()
})

func deltaPath() string {
	return target.DeltaPath(sha256.Sum256(content("1.0.0")), sha256.Sum256(content("1.1.0")))
}

func packedPath() string { return target.PackedPath(release("1.1.0").Path()) }

// smallWorld is one in which 1.0.0 is installed, and 1.1.0 is found.
func smallWorld(t testing.TB, by, packed small) *world {
	t.Helper()
	w := newWorld(t)
	w.small = true
	w.next()
	w.smaller(by, packed)
	must(t, w.check())
	must(t, w.lookup("1.1.0"))
	w.mirror.Asked()
	return w
}

// TestFrom expects the smallest file that there is.
func TestFrom(t *testing.T) {
	for name, test := range map[string]struct {
		by, packed small
		damaged    bool // What is installed is none that is known.
		want       string
	}{
		"delta":                {good(), good(), false, deltaPath()},
		"delta alone":          {good(), nil, false, deltaPath()},
		"packed":               {nil, good(), false, packedPath()},
		"from something else":  {good(), good(), true, packedPath()},
		"neither":              {nil, nil, false, release("1.1.0").Path()},
		"larger than the full": {signed(make([]byte, 400_000)), signed(make([]byte, 400_000)), false, release("1.1.0").Path()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := smallWorld(t, test.by, test.packed)
				if test.damaged {
					must(t, os.WriteFile(w.installed(), []byte("damaged"), 0o755))
				}
				must(t, w.save())
				if w.kept()[w.installed()] != string(content("1.1.0")) || w.came.Path != test.want || len(w.came.Failed) > 0 {
					t.Errorf("it came as %+v", w.came)
				}
				if asked, sent := w.mirror.Asked(); len(asked) != 1 || sent != w.came.Fetched {
					t.Errorf("%v were asked for, %d bytes of %d", asked, sent, w.came.Fetched)
				}
				w.came = tufclient.Transfer{}
				must(t, w.save())
				if asked, _ := w.mirror.Asked(); len(asked) > 0 || w.came.Path != "" {
					t.Errorf("again, %v were asked for", asked)
				}
			})
		})
	}
}

// raw is a delta with the records as they are.
func raw(old, fresh []byte, window int, records ...byte) []byte {
	b := bytes.NewBufferString("LEAPBSZ1")
	for _, f := range [][]byte{old, fresh} {
		sum := sha256.Sum256(f)
		b.Write(binary.LittleEndian.AppendUint64(sum[:], uint64(len(f))))
	}
	b.Write(frame(window, records))
	return b.Bytes()
}

func frame(window int, data []byte) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // The options are right.
	}
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

// record is the head of a record.
func record(seek int64, copied, extra int) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(binary.AppendVarint(nil, seek), uint64(copied)), uint64(extra))
}

// second sends what it has, a byte a second.
type second struct {
	ctx context.Context
	r   io.Reader
}

func (s second) Read(b []byte) (int, error) {
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-time.After(time.Second):
		return s.r.Read(b[:1])
	}
}

// TestFromAttacks has signers and mirrors do each thing wrong that can be wrong
// with a delta or a packed file: each is refused with its own error, and then the
// full file is installed, or the packed one. What is trusted stays as it is.
func TestFromAttacks(t *testing.T) {
	old, fresh := content("1.0.0"), content("1.1.0")
	n := len(fresh)
	const mib = 1 << 20
	as := func(records ...[]byte) small { return signed(raw(old, fresh, mib, slices.Concat(records...)...)) }
	half := func(good []byte) []byte { return good[:len(good)/2] }
	from := func(name string, f func(context.Context, []byte) io.Reader) func(*world) {
		return func(w *world) { w.body(name, f) }
	}
	absent := func(name string) func(*world) {
		return func(w *world) {
			maps.DeleteFunc(w.mirror.Files, func(is string, _ []byte) bool { return strings.Contains(is, name) })
		}
	}
	broken := func(_ context.Context, data []byte) io.Reader { return tuftest.Broken(data, len(data)/2) }
	slowly := func(ctx context.Context, data []byte) io.Reader { return second{ctx, bytes.NewReader(data)} }
	for name, test := range map[string]struct {
		by, packed small
		do         func(*world)
		want       error
	}{
		// By who may sign.
		"delta from another file":     {by: signed(raw(fresh, fresh, mib)), want: delta.ErrBase},
		"delta to another file":       {by: signed(raw(old, old, mib)), want: delta.ErrBase},
		"delta with another result":   {by: as(record(0, n, 0), []byte{0}), want: delta.ErrResult},
		"delta that seeks outside":    {by: as(record(1<<40, 1, 0), make([]byte, n)), want: delta.ErrSeek},
		"delta that seeks before":     {by: as(record(-1, 1, 0), make([]byte, n)), want: delta.ErrSeek},
		"delta that makes too much":   {by: as(record(0, n-1, 0), []byte{0}, record(0, 0, 1<<40)), want: delta.ErrLong},
		"patch bomb":                  {by: as(record(0, 0, 1<<40), make([]byte, 4<<20)), want: delta.ErrLong},
		"patch bomb of empty records": {by: as(make([]byte, 4<<20)), want: delta.ErrFormat},
		"delta with more behind":      {by: as(record(0, 0, n), fresh, make([]byte, 4<<20)), want: delta.ErrTrailing},
		"delta of a wide window":      {by: signed(raw(old, fresh, 32<<20, make([]byte, 1<<20)...)), want: delta.ErrWindow},
		"delta cut by its signers":    {by: half, want: delta.ErrShort},
		"delta that is none":          {by: signed([]byte("a delta of old files, you must believe me that this is one, it has been signed by all")), want: delta.ErrShort},
		"packed bomb":                 {packed: signed(frame(mib, make([]byte, 4<<20))), want: delta.ErrLong},
		"packed, of a wide window":    {packed: signed(frame(32<<20, make([]byte, 1<<20))), want: delta.ErrWindow},
		"packed, another file":        {packed: signed(frame(mib, bytes.ToUpper(fresh))), want: tufclient.ErrHash},
		"packed, too short":           {packed: signed(frame(mib, fresh[:n-1])), want: delta.ErrShort},
		"packed, cut by its signers":  {packed: half, want: delta.ErrShort},
		"packed, not packed":          {packed: signed(fresh[1:]), want: delta.ErrFormat},
		// By a mirror.
		"delta: other bytes":     {by: good(), do: from(".bsz", garbage), want: delta.ErrBase},
		"delta: endless":         {by: good(), do: from(".bsz", endless), want: delta.ErrFormat},
		"delta: more":            {by: good(), do: from(".bsz", more), want: tufclient.ErrLength},
		"delta: less":            {by: good(), do: from(".bsz", less), want: io.ErrUnexpectedEOF},
		"delta: a byte a second": {by: good(), do: from(".bsz", trickle), want: tufclient.ErrSlow},
		"delta: not there":       {by: good(), do: absent(".bsz"), want: fs.ErrNotExist},
		"delta: always breaks":   {by: good(), do: from(".bsz", broken), want: io.ErrClosedPipe},
		"delta: another one": {by: good(), do: from(".bsz", func(context.Context, []byte) io.Reader {
			return bytes.NewReader(raw(old, fresh, mib, slices.Concat(record(0, 0, n), fresh)...))
		}), want: tufclient.ErrLength},
		"packed: other bytes":     {packed: good(), do: from(".zst", garbage), want: delta.ErrFormat},
		"packed: endless":         {packed: good(), do: from(".zst", endless), want: delta.ErrFormat},
		"packed: a bomb":          {packed: good(), do: from(".zst", func(context.Context, []byte) io.Reader { return bytes.NewReader(frame(mib, make([]byte, 4<<20))) }), want: delta.ErrLong},
		"packed: more":            {packed: good(), do: from(".zst", more), want: tufclient.ErrLength},
		"packed: less":            {packed: good(), do: from(".zst", less), want: io.ErrUnexpectedEOF},
		"packed: a byte a second": {packed: good(), do: from(".zst", slowly), want: tufclient.ErrSlow},
		"packed: not there":       {packed: good(), do: absent(".zst"), want: fs.ErrNotExist},
	} {
		for _, other := range []bool{false, true} { // A good packed file is there beside a bad delta.
			if other && test.by == nil {
				continue
			}
			by, packed, then := test.by, test.packed, release("1.1.0").Path()
			if other {
				packed, then = good(), packedPath()
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := smallWorld(t, by, packed)
					before := w.kept()
					if test.do != nil {
						test.do(w)
					}
					begin := time.Now()
					err := w.save()
					after := w.kept()
					if err != nil || after[w.installed()] != string(fresh) || w.came.Path != then {
						t.Fatalf("%v; it came as %+v", err, w.came)
					}
					if len(w.came.Failed) != 1 || !errors.Is(w.came.Failed[0], test.want) {
						t.Errorf("the smaller one: %v, want %v", w.came.Failed, test.want)
					}
					delete(before, w.installed())
					delete(after, w.installed())
					if !maps.Equal(before, after) {
						t.Error("what is trusted has changed")
					}
					if d := time.Since(begin); d > time.Minute {
						t.Errorf("it took %v", d)
					}
				})
			})
		}
	}
}

// TestFromNothingGood expects all errors when nothing is good, and that what is
// installed stays.
func TestFromNothingGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := smallWorld(t, good(), good())
		w.body("targets/", garbage)
		before := w.kept()
		if err := w.save(); !errors.Is(err, tufclient.ErrHash) || len(w.came.Failed) != 2 {
			t.Errorf("%v, %+v", err, w.came)
		}
		if !maps.Equal(before, w.kept()) {
			t.Error("what is trusted or installed has changed")
		}
	})
}

// TestFromOtherSource expects that what one source does wrong with a delta leads to
// the next source, not to the full file.
func TestFromOtherSource(t *testing.T) {
	for name, bad := range map[string]*tuftest.Mirror{
		"empty":   {},
		"garbage": {Body: func(context.Context, string, []byte) io.Reader { return strings.NewReader("{") }},
		"breaks":  {Body: func(_ context.Context, _ string, data []byte) io.Reader { return tuftest.Broken(data, len(data)/2) }},
		"less":    {Body: func(ctx context.Context, _ string, data []byte) io.Reader { return less(ctx, data) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := smallWorld(t, good(), good())
				if name != "empty" {
					bad.Files = w.repo.Files
				}
				w.cfg.Repositories[0].Sources = []tufclient.Source{bad, w.mirror}
				must(t, w.check())
				must(t, w.lookup("1.1.0"))
				must(t, w.save())
				if w.kept()[w.installed()] != string(content("1.1.0")) || w.came.Path != deltaPath() {
					t.Errorf("it came as %+v", w.came)
				}
			})
		})
	}
}

// breaking is a mirror that breaks off after some bytes, at whatever place it is
// asked to begin.
type breaking struct {
	*tuftest.Mirror
	after int64
}

func (b breaking) Fetch(ctx context.Context, name string, limit, off int64) (io.ReadCloser, error) {
	r, err := b.Mirror.Fetch(ctx, name, limit, off)
	if err != nil || !strings.Contains(name, "targets/") {
		return r, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(r, b.after), rest{r})), nil
}

// rest breaks off, unless there is nothing left.
type rest struct{ r io.Reader }

func (r rest) Read(b []byte) (int, error) {
	if _, err := io.ReadFull(r.r, b[:1]); errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	return 0, io.ErrClosedPipe
}

// TestFromBreaksOff expects that a source that breaks off is asked for what is
// missing; and if it does so too often, that what was made of the target counts.
func TestFromBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := smallWorld(t, nil, good())
		size := int64(len(w.repo.Files[func() (name string) {
			for name = range w.repo.Files {
				if strings.HasSuffix(name, ".zst") {
					return name
				}
			}
			return ""
		}()]))
		for _, after := range []int64{size/3 + 1, size / 9} {
			must(t, os.WriteFile(w.installed(), nil, 0o755))
			w.cfg.Repositories[0].Sources = []tufclient.Source{breaking{w.mirror, after}, w.mirror}
			must(t, w.check())
			must(t, w.lookup("1.1.0"))
			w.mirror.Asked()
			must(t, w.save())
			asked, _ := w.mirror.Asked()
			if w.kept()[w.installed()] != string(content("1.1.0")) || w.came.Path != packedPath() {
				t.Errorf("it came as %+v", w.came)
			}
			t.Logf("breaks after %d of %d: %d requests, %d bytes", after, size, len(asked), w.came.Fetched)
			if after > size/9 && w.came.Fetched != size {
				t.Errorf("%d of %d bytes were fetched", w.came.Fetched, size)
			}
		}
	})
}

// TestFromGoesOn expects that what an earlier try has left is not fetched again, if
// what is missing is less than the smaller file.
func TestFromGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := smallWorld(t, good(), good())
		all := content("1.1.0")
		must(t, os.WriteFile(w.installed()+".part", all[:len(all)-5], 0o700))
		must(t, w.save())
		if w.came.Path != release("1.1.0").Path() || w.came.Fetched != 5 || w.kept()[w.installed()] != string(all) {
			t.Errorf("it came as %+v", w.came)
		}
	})
}

// slow is a slot that takes long, as a disk of an emulated machine.
type slow struct{ tufclient.Slot }

func (s slow) Write(b []byte) (int, error) {
	<-time.After(45 * time.Second)
	return s.Slot.Write(b)
}

// TestFromSlowDisk expects that it is not the source's fault if the disk is slow.
func TestFromSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := smallWorld(t, good(), good())
		c, err := tufclient.Open(w.cfg)
		must(t, err)
		f, err := os.Create(w.installed() + ".new")
		must(t, err)
		defer f.Close()
		old, done := w.old()
		defer done()
		tr, err := c.FetchFrom(t.Context(), w.view, w.target, old, slow{f})
		if err != nil || tr.Path != deltaPath() {
			t.Errorf("%+v, %v", tr, err)
		}
	})
}

// TestFromMemory fetches 64 MiB, packed and by a delta, and counts what is
// allocated for it.
func TestFromMemory(t *testing.T) {
	w := newWorld(t)
	old := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	fresh := bytes.Clone(old)
	fresh[len(fresh)/2]++
	var packed bytes.Buffer
	must(t, delta.Pack(&packed, bytes.NewReader(fresh)))
	records := slices.Concat(record(0, len(old), 0), []byte{1}, binary.AppendUvarint(nil, uint64(len(old)/2)), []byte{1})
	w.repo.Add("targets", "big", fresh, nil)
	w.repo.Add("targets", "big.zst", packed.Bytes(), nil)
	sum := sha256.Sum256(old)
	w.repo.Add("release", target.DeltaPath(sum, sha256.Sum256(fresh)), raw(old, fresh, 8<<20, records...), nil)
	w.repo.Next("targets", "release")
	w.republish()
	must(t, w.check())
	tg, err := w.view.Lookup(t.Context(), "big")
	must(t, err)
	c, err := tufclient.Open(w.cfg)
	must(t, err)
	for _, from := range []*tufclient.Old{nil, {ReaderAt: bytes.NewReader(old), SHA256: sum, Length: int64(len(old))}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tr, err := c.SaveFrom(t.Context(), w.view, tg, from, w.installed(), 0o600)
		runtime.ReadMemStats(&after)
		n := after.TotalAlloc - before.TotalAlloc
		if err != nil || len(tr.Failed) > 0 || tr.Path == "big" || n > 16<<20 {
			t.Errorf("%d bytes were allocated; %+v, %v", n, tr, err)
		}
		t.Logf("64 MiB by %s with %d KiB allocated in all", tr.Path, n>>10)
		must(t, os.Remove(w.installed()))
	}
}
