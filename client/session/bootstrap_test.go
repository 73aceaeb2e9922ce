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

	"github.com/google/go-cmp/cmp"

	"leap.example/client/session"
	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

// empty fails if anything was stored in dir.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("stored %v, %v", entries, err)
	}
}

func TestBootstrapByFingerprint(t *testing.T) {
	f := newFake(t, true)
	opt := f.options()
	opt.Roots, opt.CAFingerprint, opt.Dir = nil, f.ca.fingerprint(), t.TempDir()
	p := f.bootstrap(t, opt)
	if p.Document().APIURI != "https://"+f.api {
		t.Errorf("got %+v", p.Document())
	}
	if got, want := f.seen(), []string{"GET /ca.crt 200", "GET /provider.json 200"}; !slices.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
	if f.questions[domain+"."] == 0 {
		t.Errorf("the resolver was asked %v", f.questions)
	}

	again, err := session.LoadProvider(session.Options{Dir: opt.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if diff := cmp.Diff(p.Document(), again.Document()); diff != "" {
		t.Errorf("stored provider differs:\n%s", diff)
	}
	if err := again.Refresh(t.Context(), 0); err != nil {
		t.Errorf("with the stored resolver and CA: %v", err)
	}
}

func TestBootstrapByPublicCA(t *testing.T) {
	f := newFake(t, false)
	opt := f.options()
	opt.Dir = t.TempDir()
	p := f.bootstrap(t, opt)
	if got, want := f.seen(), []string{"GET /provider.json 200", "GET /ca.crt 200"}; !slices.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
	// From now on the public CA counts for nothing.
	resp, err := p.HTTP().Get("https://" + f.web + "/provider.json")
	if err == nil {
		resp.Body.Close()
		t.Error("a server of the public CA is trusted with the API's client")
	}
	resp, err = p.PublicHTTP().Get("https://" + f.web + "/provider.json")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cfg := p.TLS(); cfg.RootCAs == nil || p.Dialer().Resolver == nil {
		t.Error("TLS or Dialer is the system's")
	}
}

func TestBootstrapRefused(t *testing.T) {
	other := newAuthority(t, "Mallory")
	for _, tt := range []struct {
		name   string
		pinned bool
		spoil  func(f *fake, opt *session.Options)
		want   error
	}{
		{"wrong fingerprint", true, func(_ *fake, o *session.Options) { o.CAFingerprint = other.fingerprint() }, problem.Permission},
		{"malformed fingerprint", true, func(_ *fake, o *session.Options) { o.CAFingerprint = "SHA1: 00" }, problem.Invalid},
		{"provider.json names another CA", false, func(f *fake, _ *session.Options) { f.doc.CACertFingerprint = other.fingerprint() }, problem.Permission},
		{"pinned, but provider.json names another CA", true, func(f *fake, o *session.Options) {
			o.CAFingerprint, f.doc.CACertFingerprint = f.ca.fingerprint(), other.fingerprint()
		}, problem.Permission},
		{"unknown public CA", false, func(_ *fake, o *session.Options) { o.Roots = other.pool() }, problem.Permission},
		{"pinned CA is not the web host's", false, func(f *fake, o *session.Options) { o.CAFingerprint = f.ca.fingerprint() }, problem.Permission},
		{"other domain", false, func(f *fake, _ *session.Options) { f.doc.Domain = "other.test" }, problem.Invalid},
		{"API in clear", false, func(f *fake, _ *session.Options) { f.doc.APIURI = "http://" + f.api }, problem.Invalid},
		{"no answer", false, func(f *fake, _ *session.Options) { f.web = domain + ":1" }, problem.Unavailable},
		{"error", false, func(f *fake, _ *session.Options) {
			f.intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true }
		}, problem.NotExist},
		{"redirect", false, func(f *fake, _ *session.Options) {
			f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "https://evil.test/", http.StatusFound)
				return true
			}
		}, problem.Invalid},
		{"flood", false, func(f *fake, _ *session.Options) {
			f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
				_, err := w.Write(make([]byte, 2<<20))
				return err == nil || true // The client may hang up first.
			}
		}, problem.Invalid},
		{"old client", false, func(f *fake, o *session.Options) { f.minimum, o.Version = "1.10", "1.9.9" }, nil},
		{"old client, error", false, func(f *fake, _ *session.Options) {
			f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("X-Minimum-Client-Version", "99")
				w.WriteHeader(404)
				return true
			}
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, tt.pinned)
			opt := f.options()
			opt.Dir = t.TempDir()
			tt.spoil(f, &opt)
			_, err := session.Bootstrap(t.Context(), f.web, opt)
			if tt.want == nil {
				if _, ok := errors.AsType[*session.OldClientError](err); !ok {
					t.Errorf("got %v, want an OldClientError", err)
				}
			} else if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if tt.name == "wrong fingerprint" {
				if fp, ok := errors.AsType[*provider.FingerprintError](err); !ok || fp.Got != f.ca.fingerprint() {
					t.Errorf("got %v, want a FingerprintError", err)
				}
			}
			empty(t, opt.Dir)
		})
	}
}

func TestVersions(t *testing.T) {
	f := newFake(t, false)
	for _, tt := range []struct {
		have, lowest string
		ok           bool
	}{
		{"1.0.0", "1.0.0", true},
		{"1.0", "1.0.0", true},
		{"1.0.1", "1.0.0", true},
		{"0.9.2", "0.9.10", false},
		{"1", "1.0.1", false},
		{"", "1.0.0", true},
		{"", "2", false},
		{"1.0", "nonsense", true},
	} {
		f.set(func() { f.minimum = tt.lowest })
		opt := f.options()
		opt.Version = tt.have
		_, err := session.Bootstrap(t.Context(), f.web, opt)
		if (err == nil) != tt.ok {
			t.Errorf("version %q, minimum %q: %v", tt.have, tt.lowest, err)
		}
	}
}

func TestLoadProviderRefuses(t *testing.T) {
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
	f := newFake(t, false)
	p := f.bootstrap(t, f.options())
	f.set(func() { f.doc.Domain = "other.test" })
	if err := p.Refresh(t.Context(), 0); !errors.Is(err, problem.Invalid) || p.Document().Domain != domain {
		t.Errorf("%v, domain %s", err, p.Document().Domain)
	}
}
