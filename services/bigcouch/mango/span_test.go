package mango_test

import (
	"bytes"
	"testing"

	"leap.example/services/bigcouch/mango"
)

// A query that binds something reads no more than that.
func TestRangeIsNarrow(t *testing.T) {
	indexes := []mango.Index{index(t, "tn", `{"fields":["type","next"]}`)}
	row := func(typ string, next int) []byte {
		return append(mango.KeyBytes([]any{typ, next}), "some-id"...)
	}
	for text, want := range map[string]string{ // Rows x1 x2 x3 y1.
		`{"type":"x","next":{"$exists":true}}`:              "1110",
		`{"type":"x","next":2}`:                             "0100",
		`{"type":"x","next":{"$gt":1}}`:                     "0110",
		`{"type":"x","next":{"$gte":2}}`:                    "0110",
		`{"type":"x","next":{"$lt":2}}`:                     "1000",
		`{"type":"x","next":{"$lte":2}}`:                    "1100",
		`{"type":"x","next":{"$gt":1,"$lt":3}}`:             "0100",
		`{"type":"x","next":{"$gt":3,"$lt":1}}`:             "0000",
		`{"type":"x","next":{"$gt":1},"$and":[{"next":1}]}`: "0000",
		`{"type":{"$gt":"x"},"next":1}`:                     "0001",
		`{"type":{"$lte":"x"},"next":1}`:                    "1110",
		`{"type":{"$exists":true},"next":1}`:                "1111",
	} {
		p, err := mango.PlanQuery(selector(t, text), indexes, nil, nil)
		if err != nil || p.Index == nil {
			t.Errorf("%s: %+v, %v", text, p, err)
			continue
		}
		var got []byte
		for _, r := range [][]byte{row("x", 1), row("x", 2), row("x", 3), row("y", 1)} {
			digit := byte('0')
			if bytes.Compare(r, p.Start) >= 0 && (p.End == nil || bytes.Compare(r, p.End) < 0) {
				digit = '1'
			}
			got = append(got, digit)
		}
		if string(got) != want {
			t.Errorf("%s: rows %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string][2]string{
		`{"_id":"b"}`:                              {"b", "b\x00"},
		`{"_id":{"$gt":"b"}}`:                      {"b\x00", "-"},
		`{"_id":{"$gte":"b","$lt":"c"}}`:           {"b", "c"},
		`{"_id":{"$lte":"c"}}`:                     {"-", "c\x00"},
		`{"_id":{"$gt":null}}`:                     {"-", "-"},
		`{"_id":{"$lt":5}}`:                        {"\x00", "\x00"},
		`{"_id":{"$lt":[]}}`:                       {"-", "-"},
		`{"_id":{"$gt":{}}}`:                       {"\x00", "\x00"},
		`{"_id":{"$gt":"x"},"$and":[{"_id":"b"}]}`: {"\x00", "\x00"},
	} {
		p, err := mango.PlanQuery(selector(t, text), indexes, nil, nil)
		show := func(b []byte) string {
			if b == nil {
				return "-"
			}
			return string(b)
		}
		if err != nil || show(p.Start) != want[0] || show(p.End) != want[1] {
			t.Errorf("%s: [%q, %q), %v, want %q", text, show(p.Start), show(p.End), err, want)
		}
	}
}
