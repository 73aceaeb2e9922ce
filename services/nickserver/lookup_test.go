package nickserver

import (
	"strings"
	"testing"

	"leap.example/services/protocol/nick"
)

// FuzzSearch: what parseSearch understands is in the one form that the stores
// are asked in.
func FuzzSearch(f *testing.F) {
	f.Add("alice@example.org")
	f.Add("0x" + strings.Repeat("A1", 20))
	f.Add("0xDEADBEEF")
	f.Add("0x")
	f.Fuzz(func(t *testing.T, s string) {
		q, err := parseSearch(s)
		if err != nil {
			return
		}
		if (q.fpr == "") == (q.address == "") {
			t.Fatalf("%q is %+v", s, q)
		}
		if q.fpr != "" && (q.fpr != strings.ToLower(s[2:]) || strings.Trim(q.fpr, "0123456789abcdef") != "") {
			t.Errorf("%q is fingerprint %q", s, q.fpr)
		}
		if a, err := nick.ParseAddress(string(q.address)); q.address != "" && (err != nil || a != q.address) {
			t.Errorf("%q is address %q", s, q.address)
		}
	})
}

// FuzzSplitWKD: the two methods never meet.
func FuzzSplitWKD(f *testing.F) {
	for _, s := range []string{"hu/x", "policy", "example.org/hu/x", "example.org/policy", "", "hu", "a/b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		domain, file := splitWKD(path)
		if domain == "" && file != path && file != strings.TrimPrefix(path, "/") || domain != "" && domain+"/"+file != path || domain == "hu" {
			t.Errorf("%q is %q and %q", path, domain, file)
		}
	})
}
