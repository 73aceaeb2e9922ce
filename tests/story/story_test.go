package main

import (
	"bytes"
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"
)

// TestStory lives the story with Debian's swaks and mbsync as the mail
// programs; "make story" lives it with Go's libraries.
func TestStory(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole provider: not in -short")
	}
	opt := options{dir: t.TempDir(), foreign: true}
	for _, program := range []string{"swaks", "mbsync"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("%v: the mail programs are Go's libraries", err)
			opt.foreign = false
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, opt); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "story: ok in ") {
		t.Errorf("the last line is %q", last)
	}
	t.Log("\n" + out.String())
}

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
		f := &finder{words: []string{word}, found: map[string][]string{}}
		f.value("here", v, 0)
		found := len(f.found[word]) > 0
		if want := v != "7465787420434e4152595858595a"; found != want {
			t.Errorf("%v: found = %v, want %v", v, found, want)
		}
	}
}
