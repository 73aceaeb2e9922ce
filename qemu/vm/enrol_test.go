package vm

import (
	"bytes"
	"os"
	"testing"
)

// TestEnrol puts a key into an empty store as OVMF's template is one, and into
// what is none.
func TestEnrol(t *testing.T) {
	store := bytes.Repeat([]byte{0xff}, 4096)
	store[volumeHeaderLength], store[volumeHeaderLength+1] = 72, 0
	copy(store[72:], authenticatedStore[:])
	copy(store[72+16:], []byte{0xb8, 0x0f, 0, 0}) // As long as the rest.
	out, err := enrol(store, []byte("certificate"))
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(store) || bytes.Count(out, []byte("certificate")) != 3 || !bytes.Contains(out, []byte("P\x00K\x00\x00\x00")) {
		t.Error("the keys are not there")
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "zeros": make([]byte, 4096), "full": out, "cut": store[:80], "small": store[:200],
	} {
		if _, err := enrol(bad, []byte("certificate")); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if template, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd"); err == nil {
		if _, err := enrol(template, []byte("certificate")); err != nil {
			t.Error(err)
		}
	}
}
