package update_test

import (
	"bytes"
	"errors"
	"testing"

	"leap.example/client/update"
)

func FuzzVendor(f *testing.F) {
	for _, text := range []string{
		`{"schema":1}`, `{"schema":1,"root":{"signed":{}},"sources":["https://vendor.example/leap/"]}`,
		`{"schema":2}`, `{"schema":1,"sources":["ftp://x"]}`, `{"schema":1}{}`, `[]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := update.ParseVendor(data)
		if err != nil {
			if !errors.Is(err, update.ErrVendor) {
				t.Errorf("%v", err)
			}
			return
		}
		text, err := v.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := update.ParseVendor(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if more, err := again.Encode(); err != nil || !bytes.Equal(text, more) {
			t.Errorf("%s becomes %s, %v", text, more, err)
		}
	})
}

func FuzzState(f *testing.F) {
	for _, text := range []string{
		`{"schema":1}`, `{"schema":1,"trial":{"from":"1.0.0","to":"1.1.0"},"bad":[{"version":"1.0.1"}],"log":[{"what":"back"}]}`,
		`{"schema":2}`, `{"schema":1,"looked":{"offer":{"version":"1.1.0","due":"2026-01-01T00:00:00Z"}}}`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := update.DecodeState(data)
		if err != nil {
			if !errors.Is(err, update.ErrState) {
				t.Errorf("%v", err)
			}
			return
		}
		if again, err := update.DecodeState(text); err != nil || !bytes.Equal(text, again) {
			t.Errorf("%s becomes %s, %v", text, again, err)
		}
	})
}
