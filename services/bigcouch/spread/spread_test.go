package spread_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leap.example/services/bigcouch/spread"
)

func TestOf(t *testing.T) {
	for parts := 1; parts <= 9; parts++ {
		seen := make([]int, parts)
		for i := range 9000 {
			seen[spread.Of(fmt.Sprintf("doc%d", i), parts)]++
		}
		for i, n := range seen {
			if n < 9000/parts/2 || n > 2*9000/parts {
				t.Errorf("part %d of %d has %d of 9000 documents", i, parts, n)
			}
		}
		if got := spread.Of("_design/x", parts); got != 0 {
			t.Errorf("a design document is in part %d", got)
		}
	}
	for id, want := range map[string]int{"": 0, "a": 3, "b": 1, "123456789": 3} { // 00000000, e8b7be43, 71beeff9, cbf43926.
		if got := spread.Of(id, 4); got != want {
			t.Errorf("Of(%q, 4) = %d, want %d", id, got, want)
		}
	}
}

func TestRange(t *testing.T) {
	for _, tt := range []struct {
		parts int
		want  string
	}{
		{1, "00000000-ffffffff"},
		{2, "00000000-7fffffff 80000000-ffffffff"},
		{3, "00000000-55555555 55555556-aaaaaaab aaaaaaac-ffffffff"},
	} {
		var got []string
		for i := range tt.parts {
			got = append(got, spread.Range(i, tt.parts))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%d parts: %s, want %s", tt.parts, s, tt.want)
		}
	}
}

func TestVector(t *testing.T) {
	v := spread.Vector{{Seq: 5}, {Seq: 1 << 40, Epoch: 3}, {}}
	s := v.Encode(77)
	for _, tt := range []struct {
		name, s string
		db      uint64
		parts   int
		want    spread.Vector
		err     error
	}{
		{"as it was made", s, 77, 3, v, nil},
		{"another incarnation", s, 78, 3, spread.Vector{{}, {}, {}}, nil},
		{"another number of parts", s, 77, 2, spread.Vector{{}, {}}, nil},
		{"no number", "x", 77, 3, nil, spread.ErrSequence},
		{"cut", "1-AAAAAAAAAE3_", 77, 3, nil, spread.ErrSequence},
		{"short", "1-AAAA", 77, 3, nil, spread.ErrSequence},
	} {
		got, err := spread.Parse(tt.s, tt.db, tt.parts)
		if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// Whatever a client brings back, it is refused or is a place in each part, and
// what was made here comes back as it was.
func FuzzParse(f *testing.F) {
	f.Add("0", uint64(1), 2)
	f.Add(spread.Vector{{Seq: 1, Epoch: 2}, {Seq: 3}}.Encode(9), uint64(9), 2)
	f.Add("12-AAAAAAAAAAn__________w", uint64(9), 1)
	f.Fuzz(func(t *testing.T, s string, db uint64, parts int) {
		if parts < 1 || parts > 64 {
			return
		}
		v, err := spread.Parse(s, db, parts)
		if err != nil {
			return
		}
		if len(v) != parts {
			t.Fatalf("%d marks, want %d", len(v), parts)
		}
		again, err := spread.Parse(v.Encode(db), db, parts)
		if err != nil || !slices.Equal(again, v) {
			t.Fatalf("%v came back as %v, %v", v, again, err)
		}
	})
}

func TestRows(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"members around", `{"a":1,"rows":[{"x":1}, 2 ,"three"],"b":[2]}`, `a=1 {"x":1} 2 "three" a=1 b=[2]`},
		{"empty", "{\"rows\":[\n]}\n", ``},
		{"white space as it comes", "{\"rows\":[\n\n\n1,\n2]}", `1 2`},
		{"no list", `{"a":1}`, "error"},
		{"another form", `[1]`, "error"},
		{"no list at all", `{"rows":1}`, "error"},
		{"cut", `{"rows":[1,`, "1 error"},
		{"cut behind a row", `{"rows":[1`, "1 error"},
		{"cut at the end", `{"rows":[1]`, "1 error"},
		{"two lists", `{"rows":[1],"rows":[2]}`, "1 error"},
	} {
		var got []string
		members := func(r *spread.Rows) {
			for _, name := range []string{"a", "b"} {
				if raw := r.Members[name]; raw != nil {
					got = append(got, name+"="+string(raw))
				}
			}
		}
		r, err := spread.Read(strings.NewReader(tt.in), "rows")
		if err == nil {
			members(r)
		}
		for err == nil {
			var row []byte
			if row, err = r.Next(); err != nil || row == nil {
				break
			}
			got = append(got, string(row))
		}
		if err != nil {
			got = append(got, "error")
			if errors.Is(err, io.EOF) {
				t.Errorf("%s: %v looks like the end", tt.name, err)
			}
		} else {
			members(r)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
	}
}

func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOf(rapid.IntRange(0, 20)), 0, 5).Draw(t, "lists")
		var want []int
		var sources []func() (int, bool, error)
		for _, l := range lists {
			slices.Sort(l)
			want = append(want, l...)
			sources = append(sources, func() (int, bool, error) {
				if len(l) == 0 {
					return 0, false, nil
				}
				first := l[0]
				l = l[1:]
				return first, true, nil
			})
		}
		slices.Sort(want)
		var got []int
		for n, err := range spread.Merge(sources, func(a, b int) bool { return a < b }) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	broken := errors.New("broken")
	n := 0
	source := func() (int, bool, error) {
		if n++; n > 2 {
			return 0, false, broken
		}
		return n, true, nil
	}
	var got []int
	var last error
	for n, err := range spread.Merge([]func() (int, bool, error){source}, func(a, b int) bool { return a < b }) {
		got, last = append(got, n), err
	}
	if !slices.Equal(got, []int{1, 2, 0}) || last != broken {
		t.Errorf("got %v, %v", got, last)
	}
}
