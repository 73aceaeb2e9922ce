package play

import (
	"encoding/base64"
	"testing"
)

// TestScanFinds checks that the scan sees through the forms in which a
// database may give a word back.
func TestScanFinds(t *testing.T) {
	const word = "CANARYXYZ"
	for _, v := range []any{
		word,
		"text " + word + " text",
		map[string]any{"a": []any{map[string]any{word: 1.0}}},
		"dGV4dCBDQU5BUllYWVogdGV4dA==",           // Base64.
		"dGV4dCBDQU5BUllYWVogdGV4dA",             // Without padding.
		"7465787420434e4152595858595a",           // Hex of another word: not found.
		`{"ld1":"dGV4dCBDQU5BUllYWVogdGV4dA"}`,   // JSON inside a string.
		`{"x":"{\"y\":\"43414e41525958595a\"}"}`, // Hex inside JSON inside JSON.
		map[string]any{"data": "Q0FOQVJZWFla"},   // An attachment.
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("a "+word+" b")) + "\r\n",
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("ab "+word+" b")) + "\r\n",
		"Content-Type: x\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("abc "+word+" b")) + "\r\n",
		"Q0FOQVJZWFlaQ0FOQVJZWFlaQ0FOQVJZWFla\n\n", // Not base64 as it stands: line ends do not hurt.
	} {
		f := NewFinder([]string{word})
		f.value("here", v, 0)
		found := len(f.Found[word]) > 0
		if want := v != "7465787420434e4152595858595a"; found != want {
			t.Errorf("%v: found = %v, want %v", v, found, want)
		}
	}
}
