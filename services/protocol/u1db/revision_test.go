package u1db_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/u1db"
)

func TestParseRevision(t *testing.T) {
	for _, s := range []string{"a:1", "a:1|b:2", "ce1f:1", "A:1|a:1", "41:10|9b:3", "a:999999999999999", "a.b-c_d:7"} {
		r, err := u1db.ParseRevision(s)
		if err != nil || r.String() != s {
			t.Errorf("%q: %q, %v", s, r, err)
		}
	}
	for _, s := range []string{
		"", "a", "a:", ":1", "a:0", "a:01", "a:+1", "a:-1", "a: 1", " a:1", "a:1 ", "b:1|a:1", "a:1|a:2", "a:1|a:1",
		"a:1|", "|a:1", "a:1||b:1", "a:1:2", "a:1,b:2", "ä:1", "a:1\n", "a:x", "a:1000000000000000", "a:٣", ".:1",
		strings.Repeat("a", 65) + ":1", "a/b:1", strings.Repeat("a:1|", 2000) + "b:1",
	} {
		if r, err := u1db.ParseRevision(s); !errors.Is(err, u1db.ErrBadRequest) || !errors.Is(err, problem.Invalid) || r.String() != "" {
			t.Errorf("%.40q: %q, %v, want a bad request", s, r, err)
		}
	}
}

func TestRevision(t *testing.T) {
	var none u1db.Revision
	a1 := none.Next("a")
	a1b1 := a1.Next("b")
	a2 := a1.Next("a")
	for _, tt := range []struct {
		r, o u1db.Revision
		want u1db.Order
	}{
		{none, none, u1db.Equal},
		{a1, none, u1db.Newer},
		{none, a1, u1db.Older},
		{a1b1, a1, u1db.Newer},
		{a1, a1b1, u1db.Older},
		{a2, a1b1, u1db.Concurrent},
		{a2, a2, u1db.Equal},
		{a2.Merge(a1b1), a2, u1db.Newer},
	} {
		if got := tt.r.Compare(tt.o); got != tt.want {
			t.Errorf("%q to %q: %v, want %v", tt.r, tt.o, got, tt.want)
		}
	}
	if got := a2.Merge(a1b1).Next("c").String(); got != "a:2|b:1|c:1" {
		t.Errorf("merged: %s", got)
	}
	if a1b1.Get("b") != 1 || a1b1.Get("c") != 0 {
		t.Error("wrong counters")
	}
	if a1.String() != "a:1" {
		t.Errorf("a revision changed under its successors: %s", a1)
	}
}

// revisions draws revisions of few replicas, so that they often overlap.
func revisions() *rapid.Generator[u1db.Revision] {
	return rapid.Custom(func(t *rapid.T) u1db.Revision {
		var r u1db.Revision
		for _, uid := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d1"}), 0, 8).Draw(t, "writers") {
			r = r.Next(uid)
		}
		return r
	})
}

func TestRevisionLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, o, p := revisions().Draw(t, "r"), revisions().Draw(t, "o"), revisions().Draw(t, "p")
		uid := rapid.SampledFrom([]string{"a", "b", "e"}).Draw(t, "uid")
		same := func(law string, x, y u1db.Revision) {
			if x.String() != y.String() || x.Compare(y) != u1db.Equal {
				t.Fatalf("%s: %q, %q", law, x, y)
			}
		}
		same("merge commutes", r.Merge(o), o.Merge(r))
		same("merge associates", r.Merge(o).Merge(p), r.Merge(o.Merge(p)))
		same("merge is idempotent", r.Merge(r), r)
		same("merge with nothing", r.Merge(u1db.Revision{}), r)
		if c := r.Next(uid).Compare(r); c != u1db.Newer {
			t.Fatalf("next is %v", c)
		}
		if c := r.Merge(o).Compare(r); c != u1db.Newer && c != u1db.Equal {
			t.Fatalf("merge is %v", c)
		}
		if c := r.Merge(o).Next(uid).Compare(o); c != u1db.Newer {
			t.Fatalf("a resolved conflict is %v", c)
		}
		opposite := map[u1db.Order]u1db.Order{u1db.Equal: u1db.Equal, u1db.Newer: u1db.Older, u1db.Older: u1db.Newer, u1db.Concurrent: u1db.Concurrent}
		if r.Compare(o) != opposite[o.Compare(r)] {
			t.Fatalf("%q is %v to %q, which is %v", r, r.Compare(o), o, o.Compare(r))
		}
		if (r.Compare(o) == u1db.Equal) != (r.String() == o.String()) {
			t.Fatalf("equal clocks with two texts: %q, %q", r, o)
		}
		if s := r.String(); s != "" {
			back, err := u1db.ParseRevision(s)
			if err != nil {
				t.Fatal(err)
			}
			same("text and back", back, r)
		}
		sum := u1db.Revision{}
		for u, n := range r.All() {
			for range n {
				sum = sum.Next(u)
			}
		}
		same("all entries", sum, r)
	})
}

func FuzzParseRevision(f *testing.F) {
	for _, s := range []string{"a:1", "a:1|b:2", "b:1|a:1", "a:01", "", "a:1|", "a:999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := u1db.ParseRevision(s)
		if err == nil && r.String() != s {
			t.Errorf("%q has another text %q", s, r)
		}
	})
}

func TestJudge(t *testing.T) {
	doc := func(rev, content string) u1db.Document { return u1db.Document{ID: "D-1", Rev: rev, Content: content} }
	for _, tt := range []struct {
		in, stored string // Revision and content; stored "" is none.
		want       u1db.Verdict
	}{
		{"a:1 {}", "", u1db.Inserted},
		{"a:1 ", "", u1db.Inserted}, // A deletion of what is not there.
		{"a:2 {}", "a:1 {}", u1db.Inserted},
		{"a:2 ", "a:1 {}", u1db.Inserted},
		{"a:1 {}", "a:1 {}", u1db.Converged},
		{"a:1 {}", "a:2 {}", u1db.Superseded},
		{"a:1|b:1 {}", "a:2 {}", u1db.Merged},
		{"a:1|b:1 ", "a:2 ", u1db.Merged},
		{`a:1|b:1 {"x":1}`, "a:2 {}", u1db.Conflicted},
		{"a:1|b:1 ", "a:2 {}", u1db.Conflicted},
		{"a:01 {}", "", u1db.Refused},
		{"a:1 {}", "b {}", u1db.Refused},
	} {
		rev, content, _ := strings.Cut(tt.in, " ")
		var stored *u1db.Document
		if tt.stored != "" {
			r, c, _ := strings.Cut(tt.stored, " ")
			d := doc(r, c)
			stored = &d
		}
		if got := u1db.Judge(doc(rev, content), stored); got != tt.want {
			t.Errorf("%s over %q: %v, want %v", tt.in, tt.stored, got, tt.want)
		}
	}
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		gen    int
		trans  string
		stored int
		have   string
		want   error
	}{
		{8, "T-8", 7, "T-7", nil},
		{7, "T-7", 7, "T-7", nil},
		{7, "T-x", 7, "T-7", u1db.ErrTransaction},
		{6, "T-6", 7, "T-7", u1db.ErrGeneration},
	} {
		if err := u1db.CheckSource(tt.gen, tt.trans, tt.stored, tt.have); err != tt.want {
			t.Errorf("source at %d %s over %d: %v, want %v", tt.gen, tt.trans, tt.stored, err, tt.want)
		}
	}
	for _, tt := range []struct {
		gen    int
		trans  string
		source string
		want   error
	}{
		{5, "T-5", "s", nil},
		{0, "", "s", nil},
		{5, "T-x", "s", u1db.ErrTransaction},
		{6, "T-6", "s", u1db.ErrGeneration},
		{5, "T-5", "t", u1db.ErrReplica},
	} {
		at := map[int]string{0: "", 5: "T-5"}
		h := u1db.SyncHeader{LastKnownGeneration: tt.gen, LastKnownTransID: tt.trans}
		if err := u1db.CheckKnown(h, tt.source, "t", 5, at[tt.gen]); err != tt.want {
			t.Errorf("known %d %s: %v, want %v", tt.gen, tt.trans, err, tt.want)
		}
	}
}
