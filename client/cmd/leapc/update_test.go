package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"leap.example/client/control"
	"leap.example/client/update"
)

// TestThrough: while the VPN has a proxy, updates go through it, whether it is
// connected or not; else by the network, which is the tunnel where there is one.
func TestThrough(t *testing.T) {
	var vpn control.VPNStatus
	var failed error
	tr := through(func(context.Context) (control.VPNStatus, error) { return vpn, failed })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vendor.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, state string
		failed      error
		want        string
	}{
		{"", control.VPNDisconnected, nil, ""},
		{control.VPNPathHelper, control.VPNConnected, nil, ""},
		{control.VPNPathProxy, control.VPNConnected, nil, "socks5h://127.0.0.1:1080"},
		{control.VPNPathProxy, control.VPNReconnecting, nil, "socks5h://127.0.0.1:1080"},
		{control.VPNPathProxy, control.VPNBlocked, nil, "socks5h://127.0.0.1:1080"},
		{control.VPNPathProxy, control.VPNDisconnected, nil, ""},
		{"", "", control.ErrNotRunning, ""},
	} {
		vpn, failed = control.VPNStatus{Path: test.path, State: test.state, Proxy: "127.0.0.1:1080"}, test.failed
		got, err := tr.Proxy(req)
		text := ""
		if got != nil {
			text = got.String()
		}
		if err != nil || text != test.want {
			t.Errorf("%s by %q: %q, %v; want %q", test.state, test.path, text, err, test.want)
		}
	}
}

// TestTry starts programs that do what they should, and others.
func TestTry(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       error
	}{
		{"good", "#!/bin/sh\n[ \"$1 $2 $3\" = 'update selfcheck --json' ] && echo '{\"schema\":1,\"version\":\"1.1.0\",\"os\":\"linux\",\"arch\":\"amd64\"}'\n", nil},
		{"fails", "#!/bin/sh\necho no >&2\nexit 1\n", update.ErrTry},
		{"no program", "nothing\x00", update.ErrTry},
		{"no interpreter", "#!/nowhere\n", update.ErrTry},
		{"says nothing", "#!/bin/sh\n", update.ErrOther},
		{"talks", "#!/bin/sh\nexec yes | head -c 1000000\n", update.ErrOther},
		{"of another schema", "#!/bin/sh\necho '{\"schema\":2}'\n", update.ErrOther},
	} {
		t.Run(test.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "leapc")
			if err := os.WriteFile(program, []byte(test.text), 0o755); err != nil {
				t.Fatal(err)
			}
			got, err := try(t.Context(), program)
			if !errors.Is(err, test.want) || test.want == nil && got.Version != "1.1.0" {
				t.Errorf("%+v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// TestSelfcheck runs this program's own daemon for a moment.
func TestSelfcheck(t *testing.T) {
	if err := selfcheck(t.Context()); err != nil {
		t.Error(err)
	}
	if s := says(); s.OS != runtime.GOOS || s.Arch != runtime.GOARCH || s.Version != ownVersion() {
		t.Errorf("%+v", s)
	}
}

// TestBuiltVendor: what the program was built with is a vendor, or none.
func TestBuiltVendor(t *testing.T) {
	if _, err := update.ParseVendor(vendorJSON); err != nil {
		t.Error(err)
	}
}

func FuzzSays(f *testing.F) {
	f.Add([]byte(`{"schema":1,"version":"1.1.0","os":"linux","arch":"amd64"}`))
	f.Add([]byte(`{"schema":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSays(data)
		if err != nil {
			if !errors.Is(err, update.ErrOther) {
				t.Error(err)
			}
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseSays(text); err != nil || again != s {
			t.Errorf("%+v becomes %+v, %v", s, again, err)
		}
	})
}
