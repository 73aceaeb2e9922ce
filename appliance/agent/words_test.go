package agent

import (
	"strings"
	"testing"
)

func TestLastOf(t *testing.T) {
	for _, test := range []struct{ lines, want string }{
		{"", ""},
		{`{"level":"INFO","msg":"begins"}`, ""},
		{`{"level":"ERROR","msg":"exiting","err":"listen tcp :443: bind: address already in use","status":1}`, "exiting: listen tcp :443: bind: address already in use"},
		{`{"level":"WARN","msg":"slow"}` + "\n" + `{"level":"INFO","msg":"ends"}`, "slow"},
		{`{"level":"ERROR","msg":"before"}` + "\npanic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1", "panic: index out of range"},
		{"fatal error: all goroutines are asleep\n\ngoroutine 1", "fatal error: all goroutines are asleep"},
		{`{"level":"WARN","msg":"slow"}` + "\nleapd: no such file", "leapd: no such file"},
		{"panic: of the run before\n" + `{"level":"ERROR","msg":"exiting"}`, "exiting"},
		{"red \x1b[31m and\rback", "red  [31m and back"},
		{strings.Repeat("ä", 200), strings.Repeat("ä", 150) + "…"},
	} {
		if got := lastOf(strings.Split(test.lines, "\n")); got != test.want {
			t.Errorf("of %q: %q, want %q", test.lines, got, test.want)
		}
	}
}
