package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leap.example/appliance/dev"
	"leap.example/services/daemon"
	"leap.example/tests/stage"
)

// gokrazy starts a goroutine in every process that links it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/gokrazy/gokrazy.init.0.func1"))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newProvider returns a provider on free ports whose files are still to be made.
func newProvider(t *testing.T) dev.Provider {
	t.Helper()
	base, err := stage.FreeBase()
	check(t, err)
	return dev.Provider{Dir: filepath.Join(t.TempDir(), "dev"), Domain: "demo.example", Base: base}
}

// background runs f until the test ends or stop is called, which waits for it
// and returns what f returned.
func background[R any](t *testing.T, f func(context.Context) R) (stop func() R) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan R, 1)
	go func() { ended <- f(ctx) }()
	stop = func() R {
		cancel()
		r := <-ended
		ended <- r
		return r
	}
	t.Cleanup(func() { stop() })
	return stop
}

// runDev runs every service of p and waits until all of them are well.
func runDev(t *testing.T, p dev.Provider) (stop func()) {
	t.Helper()
	g, err := devGroup(t.Context(), p, slog.New(slog.DiscardHandler), io.Discard)
	check(t, err)
	end := background(t, g.Run)
	until(t, "all services are well", func() error {
		_, err := get(http.DefaultTransport, "http://"+p.Addr(dev.PortHealth)+"/")
		return err
	})
	return func() {
		t.Helper()
		if err := end(); err != nil {
			t.Errorf("dev ended with %v", err)
		}
	}
}

// until polls f until it returns nil.
func until(t *testing.T, what string, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
	}
}

// get returns status and body; an error also when the status is 503.
func get(rt http.RoundTripper, url string) (string, error) {
	defer rt.(*http.Transport).CloseIdleConnections()
	resp, err := (&http.Client{Transport: rt, Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		err = fmt.Errorf("%s", body)
	}
	return resp.Status + " " + string(body), err
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct{ argv, want string }{
		{"/user/nickserver", "run nickserver"},
		{"/user/nickserver --config x", "run nickserver --config x"},
		{"/user/bigcouch", "run bigcouch"},
		{"/init", ""},
		{"/leapd run nickserver", "run nickserver"},
		{"leapd dev", "dev"},
		{"leapd", ""},
	} {
		if got := strings.Join(arguments(strings.Fields(tt.argv)), " "); got != tt.want {
			t.Errorf("arguments(%s) = %q, want %q", tt.argv, got, tt.want)
		}
	}
}

// TestStatusOfMistakes checks that what a restart cannot help ends with 125,
// and that the message says what to do instead.
func TestStatusOfMistakes(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "config.json")
	check(t, os.WriteFile(broken, []byte(`{"daemon":{},"dns":{"colour":"red"}}`), 0o600))
	for _, tt := range []struct{ args, says string }{
		{"run nosuch", `no such service: "nosuch"; there are bigcouch, ca, `},
		{"run", "see: leapd run --help"},
		{"run nickserver --config /nonexistent", ""}, // Told by the log.
		{"run dns --config " + broken, ""},
		{"run dns --colour red", "see: leapd run --help"},
		{"dev surplus", "see: leapd dev --help"},
		{"dev --base-port many", "see: leapd dev --help"},
		{"dev --base-port 65500 --dir " + t.TempDir(), "choose one from 1 to 65436"},
		{"dance", `unknown command "dance"`},
	} {
		var out, errs bytes.Buffer
		if got := execute(t.Context(), strings.Fields(tt.args), &out, &errs); got != daemon.ExitStay {
			t.Errorf("leapd %s: status %d, want %d", tt.args, got, daemon.ExitStay)
		}
		if !strings.Contains(errs.String(), tt.says) || errs.Len() == 0 || out.Len() != 0 {
			t.Errorf("leapd %s: says %q and prints %q, want a message with %q", tt.args, &errs, &out, tt.says)
		}
	}
}

func TestEveryServiceRunsInDev(t *testing.T) {
	p := newProvider(t)
	check(t, p.Ensure())
	configs, err := devConfigs(p)
	check(t, err)
	dev := slices.Sorted(maps.Keys(configs))
	all := slices.Sorted(maps.Keys(services()))
	if !slices.Equal(dev, all) {
		t.Errorf("dev runs %v, the binary contains %v", dev, all)
	}
}

// TestSameAnswer asks nickserver inside dev and alone, beside a database that
// runs alone too, as on nodes.
func TestSameAnswer(t *testing.T) {
	p := newProvider(t)
	ask := func() (string, error) {
		pem, err := os.ReadFile(p.Path("ca", "ca.crt"))
		if err != nil {
			return "", err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		rt := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		return get(rt, "https://"+p.Addr(dev.PortNickserver)+"/?address=nobody@demo.example")
	}
	stop := runDev(t, p)
	inDev, err := ask()
	check(t, err)
	stop()

	configs, err := devConfigs(p)
	check(t, err)
	ends := map[string]func() int{}
	for _, name := range []string{"bigcouch", "nickserver"} {
		doc := configs[name]
		doc["daemon"] = daemon.Settings{}
		data, err := json.Marshal(doc)
		check(t, err)
		path := filepath.Join(t.TempDir(), "config.json")
		check(t, os.WriteFile(path, data, 0o600))
		ends[name] = background(t, func(ctx context.Context) int {
			return execute(ctx, []string{"run", name, "--config", path}, io.Discard, io.Discard)
		})
	}
	var alone string
	until(t, "nickserver answers alone", func() (err error) { alone, err = ask(); return err })
	for name, end := range ends {
		if got := end(); got != daemon.ExitStopped {
			t.Errorf("%s ends with status %d, want %d", name, got, daemon.ExitStopped)
		}
	}
	if inDev != alone || !strings.HasPrefix(alone, "404 ") {
		t.Errorf("in dev %q\nalone  %q\nwant   404 …, twice", inDev, alone)
	}
}

// TestDevTwice checks that a second start finds the provider of the first, and
// that two at once do not get into each other's way.
func TestDevTwice(t *testing.T) {
	p := newProvider(t)
	args := func(more ...string) []string {
		return append([]string{"dev", "--dir", p.Dir, "--base-port", fmt.Sprint(p.Base)}, more...)
	}
	start := func() (stop func() int) {
		var errs bytes.Buffer
		stop = background(t, func(ctx context.Context) int { return execute(ctx, args(), io.Discard, &errs) })
		until(t, "all services are well", func() error {
			_, err := get(http.DefaultTransport, "http://"+p.Addr(dev.PortHealth)+"/")
			return err
		})
		return stop
	}
	says := func(want string, args []string) {
		t.Helper()
		var errs bytes.Buffer
		if got := execute(t.Context(), args, io.Discard, &errs); got == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("leapd %v: status %d, %q; want a message with %q", args, got, &errs, want)
		}
	}
	stop := start()
	first, err := dev.ReadEndpoints(p.Dir)
	check(t, err)
	says("another \"leapd dev\" runs on "+p.Dir+": end it, or choose another --dir", args("--base-port", "1"))
	says(fmt.Sprintf("port %d is taken", p.Base+dev.PortSoledad), args("--dir", t.TempDir()))
	says("choose another --base-port", args("--dir", t.TempDir()))
	if got := stop(); got != 0 {
		t.Errorf("dev ends with status %d, want 0", got)
	}
	says("the provider under "+p.Dir+" is demo.example: choose --domain demo.example", args("--domain", "other.example"))
	stop = start()
	second, err := dev.ReadEndpoints(p.Dir)
	check(t, err)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("the second start is another provider:\n%+v\n%+v", first, second)
	}
	if got := stop(); got != 0 {
		t.Errorf("dev ends the second time with status %d, want 0", got)
	}
}
