package upstream_test

import (
	"strings"
	"testing"

	"leap.example/services/dns/upstream"
)

var pin = strings.Repeat("A", 43) + "="

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"192.0.2.1:53", "192.0.2.1:53"},
		{"[2001:db8::1]:53", "[2001:db8::1]:53"},
		{"tls://Dns.Example.@192.0.2.1:853", "tls://dns.example@192.0.2.1:853"},
		{"tls://dns.example@[2001:db8::1]:853#" + pin, "tls://dns.example@[2001:db8::1]:853"},
		{"tls://192.0.2.1:853#" + pin + "," + pin, "tls://192.0.2.1:853"},
	} {
		a, err := upstream.Parse(tt.text)
		if err != nil || a.String() != tt.want {
			t.Errorf("%s: %q, %v", tt.text, a, err)
		}
	}
	for text, want := range map[string]string{
		"":                                   "no IP address",
		"dns.example:53":                     "no IP address",
		"192.0.2.1":                          "no IP address",
		"192.0.2.1:0":                        "no IP address",
		"[fe80::1%eth0]:53":                  "no IP address",
		"dns.example@192.0.2.1:53":           "for TLS alone",
		"192.0.2.1:53#" + pin:                "for TLS alone",
		"tls://192.0.2.1:853":                "anybody could answer",
		"tls://@192.0.2.1:853":               "no host name",
		"tls://a b@192.0.2.1:853":            "no host name",
		"tls://192.0.2.1:853#":               "not the base64",
		"tls://192.0.2.1:853#AAAA":           "not the base64",
		"tls://192.0.2.1:853#" + pin + ",":   "not the base64",
		"https://dns.example@192.0.2.1:443/": "no host name",
	} {
		if _, err := upstream.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// FuzzParse: what is read is written and read the same, but for pins.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"192.0.2.1:53", "tls://dns.example@[2001:db8::1]:853#" + pin, "tls://192.0.2.1:853#" + pin, "tls://x@:"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := upstream.Parse(text)
		if err != nil {
			return
		}
		again := a.String()
		if a.Name == "" && a.TLS {
			again += "#" + pin
		}
		b, err := upstream.Parse(again)
		if err != nil || b.String() != a.String() {
			t.Errorf("%q: %q, then %q, %v", text, a, b, err)
		}
	})
}
