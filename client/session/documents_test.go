package session_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

func TestLoadProviderRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := session.LoadProvider(session.Options{Dir: dir}); !errors.Is(err, problem.NotExist) {
		t.Errorf("nothing stored: %v", err)
	}
	f := newFake(t, false)
	opt := f.options()
	opt.Dir = dir
	f.bootstrap(t, opt)
	path := filepath.Join(dir, "provider.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"cut short": string(good[:len(good)/2]),
		"version":   strings.Replace(string(good), `"version":1`, `"version":9`, 1),
		"empty":     "{}",
		"no CA":     strings.Replace(string(good), `"ca":"LS0`, `"ca":"AAA`, 1),
	} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := session.LoadProvider(session.Options{Dir: dir}); !errors.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDocumentsAreFetchedDaily(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	now := time.Now()
	opt := f.options()
	opt.Now = func() time.Time { return now }
	s := f.login(t, f.bootstrap(t, opt))
	ask := func(maxAge time.Duration) {
		t.Helper()
		hosts, err := s.Hosts(t.Context(), "soledad", maxAge)
		if err != nil || hosts.Hosts["n1"].Port != 2323 {
			t.Errorf("hosts: %+v, %v", hosts, err)
		}
	}
	want := func(step string, requests ...string) {
		t.Helper()
		if got := f.seen(); !slices.Equal(got, requests) {
			t.Errorf("%s: requests %v, want %v", step, got, requests)
		}
	}
	f.seen()
	ask(session.Daily)
	want("first", "GET /1/configs.json 200", "GET /1/configs/soledad-service.json 200")
	ask(session.Daily)
	want("again")
	ask(0)
	want("forced", "GET /1/configs.json 304", "GET /1/configs/soledad-service.json 304")
	now = now.Add(session.Daily)
	ask(session.Daily)
	want("next day", "GET /1/configs.json 304", "GET /1/configs/soledad-service.json 304")

	now = now.Add(session.Daily)
	f.set(func() {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true }
	})
	ask(session.Daily) // The old copy is good enough.
	if _, err := s.Hosts(t.Context(), "soledad", 0); !errors.Is(err, problem.Unavailable) {
		t.Errorf("forced while the provider is down: %v", err)
	}
	f.set(func() { f.intercept = nil })
	if _, err := s.Hosts(t.Context(), "eip", session.Daily); !errors.Is(err, problem.NotExist) {
		t.Errorf("no such service: %v", err)
	}
	if keys, err := s.MXKeys(t.Context(), 0); err != nil || !slices.Equal(keys, []string{"KEY"}) {
		t.Errorf("MX keys: %v, %v", keys, err)
	}
}

func TestMalformedDocumentIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	s := f.login(t, f.bootstrap(t, f.options()))
	f.set(func() {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			_, err := w.Write([]byte(`{"openpgp":[]}`))
			return err == nil
		}
	})
	if _, err := s.MXKeys(t.Context(), session.Daily); !errors.Is(err, problem.Invalid) {
		t.Errorf("no keys: %v", err)
	}
	f.set(func() { f.intercept = nil })
	if keys, err := s.MXKeys(t.Context(), session.Daily); err != nil || len(keys) != 1 {
		t.Errorf("after the fault: %v, %v", keys, err)
	}
}

// TestNewCA: a provider may change its CA, unless the user named one.
func TestNewCA(t *testing.T) {
	t.Parallel()
	for _, pinned := range []bool{false, true} {
		f := newFake(t, pinned)
		opt := f.options()
		opt.Dir = t.TempDir()
		if pinned {
			opt.CAFingerprint = f.ca.fingerprint()
		}
		p := f.bootstrap(t, opt)
		old := f.ca
		next := newAuthority(t, "Example 2")
		f.set(func() {
			f.ca = next
			f.doc.CACertFingerprint = next.fingerprint()
			f.doc.APIURI = "https://api." + domain + ":" + f.listen(t, next)
		})
		err := p.Refresh(t.Context(), 0)
		if !pinned {
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Refresh(t.Context(), 0); err != nil {
				t.Errorf("over the new CA: %v", err)
			}
		} else if _, ok := errors.AsType[*provider.FingerprintError](err); !ok {
			t.Errorf("pinned CA is replaced: %v", err)
		}
		again, err := session.LoadProvider(session.Options{Dir: opt.Dir})
		if err != nil {
			t.Fatal(err)
		}
		want := next
		if pinned {
			want = old
		}
		if got := again.Document().CACertFingerprint; got != want.fingerprint() {
			t.Errorf("pinned %v: stored CA %s, want %s", pinned, got, want.fingerprint())
		}
	}
}

func TestProviderCannotChangeDomain(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.set(func() { f.doc.Domain = "other.test" })
	if err := p.Refresh(t.Context(), 0); !errors.Is(err, problem.Invalid) || p.Document().Domain != domain {
		t.Errorf("%v, domain %s", err, p.Document().Domain)
	}
}
