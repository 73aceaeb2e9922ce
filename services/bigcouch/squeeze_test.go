package bigcouch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// squeeze says of everything what json.Compact says.
func FuzzSqueeze(f *testing.F) {
	for _, s := range []string{
		"", " ", "{}", "[]", "null", "nul", "nulll", "true", "false", "tru", " { \"a\" : [ 1 , 2 ] } ", "{\"a\":1,}", "[1,]", "[,1]", "{\"a\" 1}", "{a:1}", "{1:1}",
		"0", "-0", "00", "01", "-", "+1", "1.", ".1", "1.5e+10", "1e", "1E-", "1e5x", "-a", "1 2", "[1 2]", "\"", "\"a", "\"\\", "\"\\u12\"", "\"\\u12fG\"", "\"\\u12fF\"",
		"\"\\x\"", "\"\\/\\b\\\"\"", "\"\x01\"", "\"\x7f\xff\"", "\"\u2028\"", "{\"a\":\"b\",\"a\":{}}", "\t[\r\n]\n", "\v1", "[[[[]]]]", "[[[[]]]", "]", "}", "[}", "\x00", "{\"a\":}", "{\"a\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, ok := squeeze(data)
		var want bytes.Buffer
		err := json.Compact(&want, data)
		if ok != (err == nil) || ok && !bytes.Equal(got, want.Bytes()) {
			t.Errorf("squeeze(%q) = %q, %v, want %q, %v", data, got, ok, want.Bytes(), err)
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%q has become %q", before, data)
		}
	})
}

func TestSqueezeDepth(t *testing.T) {
	for _, n := range []int{maxDepth, maxDepth + 1} {
		for _, pair := range []string{"[]", "{}"} {
			deep := strings.Repeat(pair[:1], n) + strings.Repeat(pair[1:], n)
			if pair == "{}" {
				deep = strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1)
			}
			if _, ok := squeeze([]byte(deep)); ok != json.Valid([]byte(deep)) {
				t.Errorf("%d levels of %s: %v", n, pair, ok)
			}
		}
	}
}
