package store

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"leap.example/services/bigcouch/sealed"
)

func openMem(t interface{ Fatal(...any) }, fs vfs.FS) *Store {
	s, err := Open(Options{Dir: "db", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testDB is a database that the tests open in its shard by themselves.
var testDB = &Database{Name: "db", ID: 42, Shard: 1, RevsLimit: 1000}

func next(b *Batch) Position { return Position{Index: b.Head().Index + 1} }

// commit applies entries in one batch.
func commit(t interface{ Fatal(...any) }, s *Store, entries ...Entry) []Result {
	b, err := s.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	var results []Result
	for _, e := range entries {
		r, err := b.Apply(next(b), e)
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	return results
}

// A model is what the store should hold.
type model struct {
	docs   map[string]*modelDoc
	seq    uint64
	purged uint64
}

type modelDoc struct {
	leaves map[Rev]modelLeaf
	inner  map[Rev]bool
	parent map[Rev]Rev
	seq    uint64
}

type modelLeaf struct {
	deleted bool
	body    string
	atts    map[string]string
}

func (d *modelDoc) winner() Rev {
	revs := slices.SortedFunc(maps.Keys(d.leaves), func(a, b Rev) int {
		if x, y := d.leaves[a].deleted, d.leaves[b].deleted; x != y {
			if x {
				return -1
			}
			return 1
		}
		return a.compare(b)
	})
	return revs[len(revs)-1]
}

// edit does what a new edit should do, and says whether it is refused.
func (m *model) edit(in Doc, leaf modelLeaf) (parent Rev, ok bool) {
	d := m.docs[in.ID]
	switch {
	case d == nil:
		return Rev{}, in.Rev.IsZero() && !in.MustExist
	case in.Rev.IsZero() && d.leaves[d.winner()].deleted:
		return d.winner(), !in.MustExist
	}
	l, ok := d.leaves[in.Rev]
	return in.Rev, ok && !l.deleted
}

func (m *model) put(id string, rev, parent Rev, leaf modelLeaf) {
	d := m.docs[id]
	if d == nil {
		d = &modelDoc{leaves: map[Rev]modelLeaf{}, inner: map[Rev]bool{}, parent: map[Rev]Rev{}}
		m.docs[id] = d
	}
	if !parent.IsZero() {
		delete(d.leaves, parent)
		d.inner[parent] = true
		d.parent[rev] = parent
	}
	d.leaves[rev] = leaf
	m.seq++
	d.seq = m.seq
}

func attOf(name, content string, blob *byte) NewAtt {
	*blob++
	return NewAtt{
		Att:  Att{Name: name, Type: "text/plain", Digest: sha256.Sum256([]byte(content)), MD5: md5.Sum([]byte(content)), Length: int64(len(content))},
		Blob: BlobID{*blob, 1}, Data: []byte(content),
	}
}

// Random writes, in batches of random size, leave what the model has: after
// each batch every leaf, its attachments, the changes, the counters, and no
// row that nothing refers to.
func TestApplyModel(t *testing.T) {
	t.Run("plain", func(t *testing.T) { applyModel(t, func(disk vfs.FS) vfs.FS { return disk }) })
	keys := nodeKeys(t)
	t.Run("sealed", func(t *testing.T) { applyModel(t, func(disk vfs.FS) vfs.FS { return sealed.New(disk, keys) }) })
}

func applyModel(t *testing.T, on func(vfs.FS) vfs.FS) {
	rapid.Check(t, func(t *rapid.T) {
		s := openMem(t, on(vfs.NewMem()))
		defer s.Close()
		catalogued(t, s)
		commit(t, s, Entry{Cmd: OpenDatabase{DB: testDB.ID}})
		m := &model{docs: map[string]*modelDoc{}}
		blob := byte(0)
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			b, err := s.Batch(1)
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(1, 6).Draw(t, "writes") {
				m.step(t, b, &blob)
			}
			if err := b.Commit(true); err != nil {
				t.Fatal(err)
			}
			m.check(t, s)
		}
		if found := verified(t, s); len(found) > 0 {
			t.Fatalf("Verify: %q", found)
		}
	})
}

// step makes one random write, in the store and in the model.
func (m *model) step(t *rapid.T, b *Batch, blob *byte) {
	in := Doc{ID: rapid.SampledFrom([]string{"a", "a\x00b", "é"}).Draw(t, "id"), Deleted: rapid.IntRange(0, 4).Draw(t, "deleted") == 0}
	size := rapid.SampledFrom([]int{0, 10, inlineMax + 1}).Draw(t, "size")
	leaf := modelLeaf{deleted: in.Deleted, body: fmt.Sprintf(`{"v":%q}`, strings.Repeat("x", size)), atts: map[string]string{}}
	in.Body = []byte(leaf.body)
	known := m.docs[in.ID]
	if known != nil && rapid.IntRange(0, 7).Draw(t, "purge") == 0 {
		m.purge(t, b, in.ID)
		return
	}
	if known != nil && rapid.IntRange(0, 5).Draw(t, "rev") > 0 {
		revs := slices.SortedFunc(maps.Keys(known.leaves), Rev.compare)
		in.Rev = rapid.SampledFrom(revs).Draw(t, "of")
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "atts") {
		name := fmt.Sprintf("att%d", i)
		content := rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "content")
		if known != nil && known.leaves[in.Rev].atts[name] != "" && rapid.Bool().Draw(t, "stub") {
			leaf.atts[name] = known.leaves[in.Rev].atts[name]
			in.Atts = append(in.Atts, NewAtt{Stub: true, Att: Att{Name: name}})
			continue
		}
		leaf.atts[name] = content
		in.Atts = append(in.Atts, attOf(name, content, blob))
	}
	replicated := rapid.IntRange(0, 3).Draw(t, "replicated") == 0 && len(in.Atts) == 0
	if replicated {
		m.replicate(t, b, in, leaf)
		return
	}
	parent, ok := m.edit(in, leaf)
	r, err := b.Apply(next(b), Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Docs: []Doc{in}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Docs[0]; (got.Err == nil) != ok || ok && got.Rev.Gen != parent.Gen+1 {
		t.Fatalf("edit of %q at %v: %v, %v; want success %v", in.ID, in.Rev, got.Rev, got.Err, ok)
	}
	if ok {
		m.put(in.ID, r.Docs[0].Rev, parent, leaf)
	}
}

// replicate writes a revision that was made elsewhere: a new branch from a
// leaf, or a root.
func (m *model) replicate(t *rapid.T, b *Batch, in Doc, leaf modelLeaf) {
	rev := Rev{in.Rev.Gen + 1, fmt.Sprintf("r%d", rapid.IntRange(0, 99).Draw(t, "name"))}
	in.Path = []Rev{rev}
	if !in.Rev.IsZero() {
		in.Path = append(in.Path, in.Rev)
	}
	r, err := b.Apply(next(b), Entry{Cmd: WriteDocs{DB: testDB.ID, RevsLimit: 1000, Replicated: true, Docs: []Doc{in}}})
	if err != nil || r.Docs[0].Err != nil {
		t.Fatalf("replicating: %v, %v", err, r)
	}
	if d := m.docs[in.ID]; d != nil {
		if _, known := d.leaves[rev]; known || d.inner[rev] {
			return
		}
	}
	m.put(in.ID, rev, in.Rev, leaf)
}

func (m *model) check(t *rapid.T, s *Store) {
	v := s.View()
	defer v.Close()
	info, err := v.Info(testDB)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Seq: m.seq, Purged: m.purged}
	var changes []Change
	bodies, refs := 0, map[[32]byte]uint64{}
	for id, d := range m.docs {
		w := d.winner()
		if d.leaves[w].deleted {
			want.Deleted++
		} else {
			want.Docs++
		}
		changes = append(changes, Change{Seq: d.seq, ID: id, Deleted: d.leaves[w].deleted})
		got, err := v.Document(testDB, id)
		if err != nil || got == nil || got.Rev != w || got.Seq != d.seq {
			t.Fatalf("document %q = %+v, %v; want winner %v", id, got, err, w)
		}
		if got.inline == "" {
			bodies++
		}
		bodies += len(d.leaves) - 1
		for rev, leaf := range d.leaves {
			body, err := v.Body(testDB, got, rev)
			if err != nil || string(body.JSON) != leaf.body || len(body.Atts) != len(leaf.atts) {
				t.Fatalf("body of %q %v = %s with %v, %v", id, rev, body.JSON, body.Atts, err)
			}
			want.Size += body.size()
			for _, a := range body.Atts {
				refs[a.Digest]++
				var data []byte
				err := v.ReadAttachment(testDB, a, 0, a.Length, func(p []byte) error { data = append(data, p...); return nil })
				if err != nil || string(data) != leaf.atts[a.Name] {
					t.Fatalf("attachment %s of %q = %q, %v; want %q", a.Name, id, data, err, leaf.atts[a.Name])
				}
			}
		}
	}
	if *info != want {
		t.Fatalf("info = %+v, want %+v", *info, want)
	}
	slices.SortFunc(changes, func(a, b Change) int { return int(a.Seq) - int(b.Seq) })
	var got []Change
	for c, err := range v.Changes(testDB, 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		c.Leaves = nil
		got = append(got, c)
	}
	if diff := cmp.Diff(changes, got); diff != "" {
		t.Fatalf("changes (-want +got):\n%s", diff)
	}
	p := testDB.place()
	count := func(table byte) (n int) {
		start, end := p.table(table)
		if err := v.each(start, end, func(k, val []byte) (bool, error) { n++; return true, nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(tabPurge); n != int(min(m.purged, modelKeep)) {
		t.Fatalf("%d purges remembered of %d, at most %d", n, m.purged, modelKeep)
	}
	if n := count(tabBody); n != bodies {
		t.Fatalf("%d rows of bodies, want %d", n, bodies)
	}
	if n := count(tabDigest); n != len(refs) {
		t.Fatalf("%d attachments, want %d", n, len(refs))
	}
	chunks := 0
	for digest, n := range refs {
		a, ok, err := v.attachment(p, digest)
		if err != nil || !ok || a.refs != n {
			t.Fatalf("attachment: %v, %v, %v; want %d references", a, ok, err, n)
		}
		if digest != sha256.Sum256(nil) {
			chunks++
		}
	}
	if n := count(tabChunk); n != chunks {
		t.Fatalf("%d chunks, want %d", n, chunks)
	}
}
