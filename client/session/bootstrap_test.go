package session_test

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"testing"

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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
