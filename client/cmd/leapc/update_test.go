package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"leap.example/client/control"
	"leap.example/client/update"
	"leap.example/services/protocol/problem"
	"leap.example/updater/target"
	"leap.example/updater/tufclient"
)

// TestByVPN: while the VPN has a proxy, updates go through it, whether it is
// connected or not; else by the network, if that is the tunnel or nobody wants one.
// What is not known is no reason to go beside it.
func TestByVPN(t *testing.T) {
	const by = "socks5h://127.0.0.1:1080"
	var vpn control.VPNStatus
	var failed, unknown error
	var want bool
	tr := through(byVPN(func(context.Context) (control.VPNStatus, error) { return vpn, failed }, func() (bool, error) { return want, unknown }))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vendor.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, state string
		failed      error
		want        bool
		unknown     error
		goes        string // "": directly.
		refused     bool
	}{
		{state: control.VPNDisconnected},
		{path: control.VPNPathHelper, state: control.VPNConnected, want: true},
		{path: control.VPNPathHelper, state: control.VPNDisconnected, want: true}, // Lockdown.
		{path: control.VPNPathProxy, state: control.VPNConnected, want: true, goes: by},
		{path: control.VPNPathProxy, state: control.VPNReconnecting, want: true, goes: by},
		{path: control.VPNPathProxy, state: control.VPNBlocked, want: true, goes: by},
		{path: control.VPNPathProxy, state: control.VPNDisconnected},
		{failed: control.ErrNotRunning},
		{failed: control.ErrNotRunning, want: true, refused: true},
		{failed: control.ErrNotRunning, unknown: problem.Invalid.Errorf("damaged"), refused: true},
		{state: control.VPNConnecting, want: true, refused: true},
		{state: control.VPNDisconnected, want: true, refused: true}, // It has not begun yet.
		{failed: context.DeadlineExceeded, refused: true},
		{failed: control.ErrForeign, refused: true},
		{failed: problem.NotExist.Errorf("an older daemon"), refused: true},
		{failed: io.ErrUnexpectedEOF, refused: true},
	} {
		vpn, failed = control.VPNStatus{Path: test.path, State: test.state, Proxy: "127.0.0.1:1080"}, test.failed
		want, unknown = test.want, test.unknown
		got, err := tr.Proxy(req)
		text := ""
		if got != nil {
			text = got.String()
		}
		if text != test.goes || (err != nil) != test.refused {
			t.Errorf("%+v: %q, %v", test, text, err)
		}
	}
}

// TestStoredVPN: without a daemon, what is stored in the home counts; and the answer
// reaches who asks for an update.
func TestStoredVPN(t *testing.T) {
	a := &app{home: t.TempDir(), errs: io.Discard}
	var asked atomic.Int64
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) }))
	defer hs.Close()
	cfg, err := a.commandUpdates(update.Prefix(filepath.Join(t.TempDir(), "leap")))
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: cfg.Through}
	defer hc.CloseIdleConnections()
	for _, test := range []struct {
		stored string
		out    bool
	}{
		{"", true},
		{`{"version":1}`, true},
		{`{"version":1,"proxy":"127.0.0.1:1080"}`, true}, // Of the last time.
		{`{"version":1,"up":true,"proxy":"127.0.0.1:1080"}`, false},
		{`{"version":1,"up":true}`, false},
		{`{"version":1,"lockdown":true}`, false},
		{`{"version":2}`, false},
		{`damaged`, false},
	} {
		path := filepath.Join(a.home, "vpn.json")
		if test.stored != "" {
			if err := os.WriteFile(path, []byte(test.stored), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		was := asked.Load()
		resp, err := hc.Get(hs.URL)
		if err == nil {
			resp.Body.Close()
		}
		if test.out != (err == nil) || test.out != (asked.Load() > was) {
			t.Errorf("%s: %v, and %d came", test.stored, err, asked.Load()-was)
		}
		if err != nil && (statusOf(err) != exitDegraded || !strings.Contains(err.Error(), "leapc vpn down")) {
			t.Errorf("%s: status %d, %v", test.stored, statusOf(err), err)
		}
	}
}

// TestUnitStatus: what the unit says of itself decides the exit status of who asked,
// as it would be if he had done it himself.
func TestUnitStatus(t *testing.T) {
	for _, test := range []struct {
		err  error
		well bool
	}{
		{&update.WaitError{Version: "1.1.0"}, true},
		{update.ErrBad, true},
		{update.ErrSoon, true},
		{target.ErrHeld, true},
		{update.ErrTry, false},
		{update.ErrOther, false},
		{update.ErrUndecided, false},
		{tufclient.ErrThreshold, false},
		{tufclient.ErrSpace, false},
		{io.ErrUnexpectedEOF, false},
		{&update.BackError{Version: "1.1.0", From: "1.0.0", Why: update.ErrSoon}, false},
	} {
		err := fmt.Errorf("wrapped: %w", test.err)
		if wellUnit(err) != test.well {
			t.Errorf("%v: well is %v", err, !test.well)
		}
		want := exitFailed
		if test.well {
			want = exitDegraded
		}
		if got := statusOf(errUnit{err.Error(), wellUnit(err)}); got != want {
			t.Errorf("%v: status %d, want %d", err, got, want)
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
