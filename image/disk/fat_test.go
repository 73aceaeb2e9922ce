package disk

import (
	"strings"
	"testing"
)

func TestBadFAT(t *testing.T) {
	const size = 512 << 20
	for _, tt := range []struct {
		name  string
		size  int64
		files []file
		want  string
	}{
		{"small", 64 << 20, nil, "too small"},
		{"full", size, []file{{"a", make([]byte, size)}}, "too many"},
		{"twice", size, []file{{"dir/a", nil}, {"dir/A", nil}}, "a is there already"},
		{"a file as a directory", size, []file{{"a", nil}, {"a/b", nil}}, "a is there already"},
		{"directories in two cases", size, []file{{"dir/a", nil}, {"DIR/b", nil}}, "dir is there already"},
		{"empty name", size, []file{{"a//b", nil}}, "no name"},
		{"dots", size, []file{{"../b", nil}}, "no name"},
		{"many", size, []file{{"0", nil}, {"1", nil}, {"2", nil}, {"3", nil}, {"4", nil}, {"5", nil}, {"6", nil}, {"7", nil}, {"8", nil}, {"9", nil}}, "more entries"},
	} {
		if _, err := newFAT(tt.size, 0, tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := newFAT(size, 0, []file{{"empty", nil}}); err != nil {
		t.Error(err)
	}
}
