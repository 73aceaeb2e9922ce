package order_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"pgregory.net/rapid"

	"leap.example/services/bigcouch/order"
)

// The order that was observed on Apache CouchDB 3.4.3, and beyond it what
// follows from its documentation.
func TestSequence(t *testing.T) {
	const sorted = `[null, false, true,
		-1e400, -1e308, -2, -1.5, -1, -0.5, 0, 1e-300, 0.2, 0.5, 1, 2, 9007199254740991, 1e308, 1e400,
		"", "_", "1", "a", "A", "aa", "b", "B", "ba", "bb", "é", "z",
		[], [null], [null, null], [1], [1, 2], [2], ["a"], ["b"], ["b", "c"], [[]], [{}],
		{}, {"a": 1}, {"a": 1, "b": 1}, {"a": 2}, {"b": 1}, {"b": 2}]`
	d := json.NewDecoder(strings.NewReader(sorted))
	d.UseNumber()
	var values []any
	if err := d.Decode(&values); err != nil {
		t.Fatal(err)
	}
	for i := range values[1:] {
		a, b := order.Append(nil, values[i]), order.Append(nil, values[i+1])
		if values[i+1] == "é" || values[i+1] == "z" {
			continue // After e and before z: see below.
		}
		if bytes.Compare(a, b) >= 0 {
			t.Errorf("%v is not before %v: %x, %x", values[i], values[i+1], a, b)
		}
	}
	e, acute, z := order.Append(nil, "e"), order.Append(nil, "é"), order.Append(nil, "z")
	if bytes.Compare(e, acute) >= 0 || bytes.Compare(acute, z) >= 0 {
		t.Error("é does not stand between e and z")
	}
}

func TestNumbersInAnyForm(t *testing.T) {
	want := order.Append(nil, 7.0)
	for _, v := range []any{7, json.Number("7"), json.Number("7.0"), json.Number("0.7e1")} {
		if got := order.Append(nil, v); !bytes.Equal(got, want) {
			t.Errorf("%T %v is %x, want %x", v, v, got, want)
		}
	}
	zero, minus := order.Append(nil, 0), order.Append(nil, json.Number("-0"))
	if !bytes.Equal(zero, minus) {
		t.Error("-0 differs from 0")
	}
}

// Stored keys outlive a process: bytes that change need another Version.
func TestBytesOfThisVersion(t *testing.T) {
	if order.Version != "1-23-6.2.0" {
		t.Fatalf("Version is %q: bring the bytes below up to date", order.Version)
	}
	got := hex.EncodeToString(order.Append(nil, []any{nil, false, -1, "aB é\x00", map[string]any{"k": 1}}))
	const want = "15101113400fffffffffffff1415ef16050109164c00ff00ff00ff2000ff2000ff2000ff2000ff3200ff00ff0208020202000161" +
		"4220c3a900ff0001161416ff00ff00ff00ff2000ff00ff0200016b000113bff00000000000000000"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// plain compares two values without any bytes.
func plain(a, b any) int {
	if c := cmp.Compare(class(a), class(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case float64:
		return cmp.Compare(a, b.(float64))
	case string:
		if c := collate.New(language.Und).CompareString(a, b.(string)); c != 0 {
			return c
		}
		return cmp.Compare(a, b.(string))
	case []any:
		return slices.CompareFunc(a, b.([]any), plain)
	case map[string]any:
		return slices.CompareFunc(members(a), members(b.(map[string]any)), plain)
	}
	return 0
}

func members(m map[string]any) []any {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return plain(a, b) })
	var out []any
	for _, n := range names {
		out = append(out, n, m[n])
	}
	return out
}

func class(v any) int {
	switch v := v.(type) {
	case bool:
		if v {
			return 2
		}
		return 1
	case float64:
		return 3
	case string:
		return 4
	case []any:
		return 5
	case map[string]any:
		return 6
	}
	return 0
}

func values() *rapid.Generator[any] {
	scalar := rapid.OneOf(
		rapid.Just(any(nil)),
		rapid.Bool().AsAny(),
		rapid.Float64().AsAny(),
		rapid.Float64Range(-3, 3).AsAny(),
		rapid.StringOf(rapid.RuneFrom([]rune("aAbBéz_-. 01\x00\xff"))).AsAny(),
		rapid.String().AsAny(),
	)
	var value *rapid.Generator[any]
	value = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return rapid.SliceOfN(value, 0, 3).Draw(t, "array")
		case 1:
			return rapid.MapOfN(rapid.StringN(0, 3, -1), value, 0, 3).Draw(t, "object")
		}
		return scalar.Draw(t, "scalar")
	})
	return value
}

func TestOrderIsThatOfThePlainComparison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := values().Draw(t, "a"), values().Draw(t, "b")
		x, y := order.Append(nil, a), order.Append(nil, b)
		if got, want := bytes.Compare(x, y), plain(a, b); got != want {
			t.Fatalf("%#v against %#v: bytes %d, values %d", a, b, got, want)
		}
		if !bytes.Equal(x, y) && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
			t.Fatalf("%#v and %#v: one encoding begins the other", a, b)
		}
		behind := append(bytes.Clone(x), 0xff)
		if bytes.Compare(append(bytes.Clone(x), "\u00ff"...), behind) >= 0 {
			t.Fatal("what follows the encoding is not before 0xff")
		}
	})
}

// Of any two JSON texts the bytes say what the values say.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{`null`, `[1,"a",{}]`, `{"b":1,"a":[true]}`, `"a\u0000b"`, `-0`, `1e300`, `"\ufffd"`, `["é","e\u0301"]`} {
		f.Add(s, `"a"`)
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		var a, b any
		if len(one) > 200 || len(two) > 200 || json.Unmarshal([]byte(one), &a) != nil || json.Unmarshal([]byte(two), &b) != nil {
			return
		}
		x, y := order.Append(nil, a), order.Append(nil, b)
		if got, want := bytes.Compare(x, y), plain(a, b); got != want {
			t.Fatalf("%s against %s: bytes %d, values %d", one, two, got, want)
		}
		if !bytes.Equal(x, y) && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
			t.Fatalf("%s and %s: one encoding begins the other", one, two)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	var dst []byte
	for b.Loop() {
		dst = order.Append(dst[:0], "0123456789abcdef0123456789abcdef")
	}
}
