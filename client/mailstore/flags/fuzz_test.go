package flags_test

import (
	"bytes"
	"testing"

	"leap.example/client/mailstore/flags"
)

func FuzzDecode(f *testing.F) {
	s := flags.New("a", "body", "inbox", []string{flags.Seen, "$x"})
	f.Add(s.Encode())
	f.Add(s.Move("b", "trash").Expunge("a", 1).Encode())
	f.Add([]byte(`{"v":1,"body":"m","clock":{"a":2},"box":"inbox","box_dot":"1@a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := flags.Decode(data)
		if err != nil {
			return
		}
		again, err := flags.Decode(s.Encode())
		if err != nil || !bytes.Equal(again.Encode(), s.Encode()) {
			t.Fatalf("%s does not survive: %v", s.Encode(), err)
		}
		if m := flags.Merge(s, s); !bytes.Equal(m.Encode(), s.Encode()) {
			t.Fatalf("merged with itself: %s, want %s", m.Encode(), s.Encode())
		}
	})
}
