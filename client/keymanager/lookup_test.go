package keymanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"leap.example/client/keymanager"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// serve starts an HTTPS server and returns a client for which every name is
// that server.
func serve(t *testing.T, h http.HandlerFunc) *http.Client {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	hc := s.Client()
	tr, ok := hc.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("transport %T", hc.Transport)
	}
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	tr.TLSClientConfig.ServerName = "example.com" // The certificate's.
	return hc
}

func TestNickserver(t *testing.T) {
	c := newClock()
	bob := newPair(t, c, 0, "bob@example.org", "bob@other.example")
	reply := func(a string) string {
		data, err := json.Marshal(map[string]any{"address": a, "openpgp": bob.key.Armored})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var status int
	var body string
	hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("address"), "+") {
			t.Errorf("asked for %s", r.FormValue("address"))
		}
		w.WriteHeader(status)
		_, err := w.Write([]byte(body))
		if err != nil {
			t.Log(err) // The client may not want to read all of it.
		}
	})
	n := keymanager.Nickserver{HTTP: hc, Base: "https://nicknym.example.org:6425", Domain: "example.org"}
	for _, tt := range []struct {
		name   string
		a      nick.Address
		status int
		body   string
		level  nick.Level
		err    error
	}{
		{"own domain", "bob@example.org", 200, reply("bob@example.org"), nick.Endorsed, nil},
		{"suffix", "bob+x@example.org", 200, reply("bob@example.org"), nick.Endorsed, nil},
		{"other domain", "bob@other.example", 200, reply("bob@other.example"), nick.KeyServer, nil},
		{"answer for another", "bob@example.org", 200, reply("bob@other.example"), 0, problem.Invalid},
		{"key of another", "carol@example.org", 200, reply("carol@example.org"), 0, problem.Invalid},
		{"no key", "bob@example.org", 404, "{}", 0, problem.NotExist},
		{"nobody answered", "bob@example.org", 502, `{"error":"x"}`, 0, problem.NotExist},
		{"broken", "bob@example.org", 500, "{}", 0, problem.Unavailable},
		{"empty", "bob@example.org", 200, "{}", 0, problem.NotExist},
		{"no JSON", "bob@example.org", 200, "hello", 0, problem.Invalid},
		{"no key in it", "bob@example.org", 200, `{"address":"bob@example.org","openpgp":"KEY"}`, 0, problem.Invalid},
		{"flood", "bob@example.org", 200, strings.Repeat("x", 1<<20), 0, problem.Invalid},
	} {
		status, body = tt.status, tt.body
		key, level, err := n.Lookup(t.Context(), tt.a)
		if !errors.Is(err, tt.err) || level != tt.level || err == nil && key.Fingerprint != bob.key.Fingerprint {
			t.Errorf("%s: %s, %v, %v; want %v, %v", tt.name, key.Fingerprint, level, err, tt.level, tt.err)
		}
	}
	n.Base = "https://127.0.0.1:1"
	n.HTTP = &http.Client{}
	if _, _, err := n.Lookup(t.Context(), "bob@example.org"); !errors.Is(err, problem.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestWKD(t *testing.T) {
	c := newClock()
	bob := newPair(t, c, 0, "joe.doe@example.org")
	const hu = "/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=joe.doe"
	at := map[string][]byte{}
	var asked []string
	hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+r.URL.String())
		data, ok := at[r.Host+r.URL.String()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, err := w.Write(data)
		if err != nil {
			t.Error(err)
		}
	})
	const advanced = "openpgpkey.example.org/.well-known/openpgpkey/example.org" + hu
	const direct = "example.org/.well-known/openpgpkey" + hu
	w := keymanager.WKD{HTTP: hc}
	for _, tt := range []struct {
		name  string
		at    map[string][]byte
		asked int
		err   error
	}{
		{"advanced", map[string][]byte{advanced: bob.key.Binary}, 1, nil},
		{"direct", map[string][]byte{direct: bob.key.Binary}, 2, nil},
		{"neither", nil, 2, problem.NotExist},
		{"page", map[string][]byte{advanced: []byte("<html>")}, 2, problem.NotExist},
		{"another's key", map[string][]byte{advanced: newPair(t, c, 0, "x@example.org").key.Binary}, 1, problem.Invalid},
	} {
		at, asked = tt.at, nil
		key, level, err := w.Lookup(t.Context(), "joe.doe+list@example.org")
		if !errors.Is(err, tt.err) || len(asked) != tt.asked || err == nil && (level != nick.Endorsed || key.Fingerprint != bob.key.Fingerprint) {
			t.Errorf("%s: %v, %v, asked %v", tt.name, level, err, asked)
		}
	}
}

func TestTwoPaths(t *testing.T) {
	c := newClock()
	bob, mallory := newPair(t, c, 0, "bob@other.example"), newPair(t, c, 0, "bob@other.example")
	dave := newPair(t, c, 0, "dave@example.org")
	var own *nick.Key
	hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if own == nil {
			http.NotFound(w, r)
			return
		}
		err := json.NewEncoder(w).Encode(map[string]any{"address": r.FormValue("address"), "openpgp": own.Armored})
		if err != nil {
			t.Error(err)
		}
	})
	wkd := newDirectory()
	two := keymanager.TwoPaths{
		Own:    keymanager.Nickserver{HTTP: hc, Base: "https://nicknym.example.org:6425", Domain: "example.org"},
		Public: wkd,
	}
	revoked := &nick.RevokedError{Fingerprint: bob.key.Fingerprint}
	for _, tt := range []struct {
		name  string
		own   *nick.Key
		wkd   answer
		want  nick.Key
		level nick.Level
		err   error
	}{
		{"both", &bob.key, answer{bob.key, nick.Endorsed, nil}, bob.key, nick.Consensus, nil},
		{"they differ", &mallory.key, answer{bob.key, nick.Endorsed, nil}, bob.key, nick.Endorsed, nil},
		{"only WKD", nil, answer{bob.key, nick.Endorsed, nil}, bob.key, nick.Endorsed, nil},
		{"only the provider", &bob.key, answer{err: problem.NotExist}, bob.key, nick.KeyServer, nil},
		{"withdrawn", &bob.key, answer{err: revoked}, nick.Key{}, nick.NoTrust, problem.Invalid},
		{"a blocked path", nil, answer{err: problem.Unavailable}, nick.Key{}, nick.NoTrust, problem.Unavailable},
		{"nobody", nil, answer{err: problem.NotExist}, nick.Key{}, nick.NoTrust, problem.NotExist},
	} {
		own = tt.own
		wkd.set("bob@other.example", tt.wkd.key, tt.wkd.level, tt.wkd.err)
		key, level, err := two.Lookup(t.Context(), "bob@other.example")
		if !errors.Is(err, tt.err) || level != tt.level || key.Fingerprint != tt.want.Fingerprint {
			t.Errorf("%s: %v, %v", tt.name, level, err)
		}
	}
	own = &dave.key
	wkd.count()
	if _, level, err := two.Lookup(t.Context(), "dave@example.org"); err != nil || level != nick.Endorsed || wkd.count() != 0 {
		t.Errorf("own domain: %v, %v", level, err)
	}
}

func TestBlockedWKD(t *testing.T) {
	for _, tt := range []struct {
		name             string
		advanced, direct error
		want             error
	}{
		{"no such names", &net.DNSError{IsNotFound: true}, &net.DNSError{IsNotFound: true}, problem.NotExist},
		{"no connection", &net.DNSError{IsNotFound: true}, errors.New("reset"), problem.Unavailable},
		{"no advanced connection", errors.New("reset"), &net.DNSError{IsNotFound: true}, problem.Unavailable},
		{"no resolver", &net.DNSError{IsTimeout: true}, &net.DNSError{IsTimeout: true}, problem.Unavailable},
	} {
		hc := &http.Client{Transport: &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "openpgpkey.") {
				return nil, tt.advanced
			}
			return nil, tt.direct
		}}}
		_, _, err := keymanager.WKD{HTTP: hc}.Lookup(t.Context(), "bob@example.org")
		if problem.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestQuietly(t *testing.T) {
	hc := serve(t, http.NotFound)
	wkd, c := newDirectory(), newClock()
	bob := newPair(t, c, 0, "bob@other.example")
	wkd.set("bob@other.example", bob.key, nick.Endorsed, nil)
	alice := newUser(t, keymanager.TwoPaths{
		Own:    keymanager.Nickserver{HTTP: hc, Base: "https://nicknym.example.org:6425", Domain: "example.org"},
		Public: wkd,
	}, c, "alice@example.org")
	if _, _, err := alice.FindQuiet(t.Context(), "bob@other.example"); !errors.Is(err, problem.NotExist) {
		t.Errorf("found: %v", err)
	}
	if s := alice.VerifyDetached(t.Context(), []byte("x"), []byte("x"), "bob@other.example"); s.State != keymanager.SigUnknown {
		t.Errorf("signature %v", s.State)
	}
	if n := wkd.count(); n != 0 {
		t.Errorf("the author's domain was asked %d times", n)
	}
	// That he was not found quietly does not make a message go out in clear.
	if key, _, err := alice.Find(t.Context(), "bob@other.example"); err != nil || key.Fingerprint != bob.key.Fingerprint {
		t.Errorf("to write to him: %v", err)
	}
}
