package slots

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// variableFile is a variable as the kernel shows it.
func variableFile(text string) []byte {
	data := []byte{7, 0, 0, 0}
	for _, u := range utf16.Encode([]rune(text + "\x00")) {
		data = binary.LittleEndian.AppendUint16(data, u)
	}
	return data
}

func TestReadLoader(t *testing.T) {
	for name, test := range map[string]struct {
		variables map[string]string
		want      Loader
		ok        bool
	}{
		"no boot loader": {nil, Loader{}, true},
		"a good release": {map[string]string{"LoaderInfo": "systemd-boot 252"}, Loader{Name: "systemd-boot 252"}, true},
		"one on trial": {
			map[string]string{"LoaderInfo": "systemd-boot 252", "LoaderBootCountPath": `\EFI\Linux\leap_2.0.0+2-1.efi`},
			Loader{"systemd-boot 252", Entry{"2.0.0", 2, 1, true, "leap_2.0.0+2-1.efi"}},
			true,
		},
		"another system": {
			map[string]string{"LoaderInfo": "systemd-boot 252", "LoaderBootCountPath": `\EFI\Linux\other+2-1.efi`},
			Loader{Name: "systemd-boot 252"},
			false,
		},
	} {
		dir := t.TempDir()
		for v, text := range test.variables {
			if err := os.WriteFile(filepath.Join(dir, v+vendor), variableFile(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := ReadLoader(dir); got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "LoaderInfo"+vendor), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLoader(dir); err == nil {
		t.Error("a damaged variable was read")
	}
}

func FuzzVariableText(f *testing.F) {
	f.Add(variableFile(`\EFI\Linux\leap_2.0.0+2-1.efi`))
	f.Add([]byte{7, 0, 0, 0, 0, 0xd8, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := variableText(data)
		if err != nil {
			return
		}
		// What is not paired is replaced once and for all.
		again, err := variableText(variableFile(text))
		if err != nil || again != text {
			t.Errorf("%q, then %q, %v", text, again, err)
		}
	})
}
