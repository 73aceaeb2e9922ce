package load

import (
	"encoding/base64"
	"encoding/binary"
	"testing"
)

// seq makes a sequence of a database.
func seq(t *testing.T, db uint64, numbers ...uint64) position {
	t.Helper()
	b := binary.BigEndian.AppendUint64(nil, db)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	p, err := parseSeq("7-" + base64.RawURLEncoding.EncodeToString(b))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBehind(t *testing.T) {
	at := seq(t, 1, 300, 0, 5, 2)
	for _, tt := range []struct {
		name        string
		p           position
		behind, new bool
	}{
		{"the same", seq(t, 1, 300, 0, 5, 2), true, false},
		{"one part further", seq(t, 1, 300, 0, 6, 2), true, true},
		{"all parts further", seq(t, 1, 301, 0, 6, 2), true, true},
		{"one part further, one back", seq(t, 1, 299, 0, 6, 2), false, false},
		{"another epoch", seq(t, 1, 301, 1, 6, 2), false, false},
		{"another incarnation", seq(t, 2, 301, 0, 6, 2), false, false},
		{"another number of parts", seq(t, 1, 301), false, false},
	} {
		if tt.p.behind(at, false) != tt.behind || tt.p.behind(at, true) != tt.new {
			t.Errorf("%s: behind %v, of a new row %v; want %v, %v", tt.name, tt.p.behind(at, false), tt.p.behind(at, true), tt.behind, tt.new)
		}
	}
	if p := seq(t, 1, 9); !p.behind(seq(t, 1, 8), true) || p.behind(seq(t, 1, 10), false) {
		t.Error("a database in one part: 8, 9 and 10 are in another order")
	}
	for _, s := range []string{"", "7", "7-", "7-!", "7-AAAA", "7-AAAAAAAAAAH_"} {
		if p, err := parseSeq(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}
