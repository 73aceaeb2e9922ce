package stores_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"leap.example/services/couch/couchtest"
	"leap.example/tests/couch/foreign"
	"leap.example/tests/couch/node"
	"leap.example/tests/couch/suite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The server that TestSuite tests, and its password: set by judge.
const (
	urlVar      = "LEAP_STORES_URL"
	passwordVar = "LEAP_STORES_PASSWORD_FILE"
)

// TestSuite runs the suite as on an Apache CouchDB of several nodes: what was
// written is read back from a quorum.
func TestSuite(t *testing.T) {
	at := os.Getenv(urlVar)
	if at == "" {
		t.Skip("it is run by the other tests")
	}
	couchtest.Test(t, couchtest.Server{URLs: []string{at}, PasswordFile: os.Getenv(passwordVar), External: true})
}

func TestOurs(t *testing.T) {
	t.Parallel()
	d := node.Single(t)
	judge(t, proxy(t, "bigcouch", d.URLs[0], func(*http.Request) {}), d.PasswordFile, nil, nil)
}

func TestThreeNodes(t *testing.T) {
	foreign.OnlyLong(t)
	t.Parallel()
	d := node.Three(t)
	judge(t, proxy(t, "three nodes", d.URLs[0], func(*http.Request) {}), d.PasswordFile, nil, nil)
}

// known is what pouchdb-server cannot do.
var known = map[string]string{
	"accounts":                              "everyone is administrator",
	"follow_users/from_an_unknown_sequence": "it waits for what comes after a since that it does not understand",
	"many_documents/a_huge_document":        "it takes documents of any size",
}

// unsure is what goes wrong there when two come at the wrong moment.
var unsure = map[string]string{
	"pool": "an edit of an old revision succeeds when the document was deleted since: a certificate may be taken twice",
}

// TestPouchDBServer takes the passwords away: a pouchdb-server where everyone is
// administrator knows none, and refuses them.
func TestPouchDBServer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	judge(t, proxy(t, "pouchdb-server", foreign.Serve(t).URL, func(r *http.Request) { r.Header.Del("Authorization") }), file, known, unsure)
}

func judge(t *testing.T, p *proxied, passwordFile string, known, unsure map[string]string) {
	t.Helper()
	suite.Suite{
		Name: "stores on " + p.name, Test: "TestSuite", Env: []string{urlVar + "=" + p.url, passwordVar + "=" + passwordFile}, Least: 25, Known: known, Unsure: unsure,
	}.Judge(t)
	p.recorder.judge(t)
}

// proxied is a server behind a proxy that notes what it is asked for.
type proxied struct {
	name, url string
	recorder
}

func proxy(t *testing.T, name, to string, change func(*http.Request)) *proxied {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxied{name: name, recorder: recorder{seen: map[string]map[string]bool{}}}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Transport: tr, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			p.note(r.In)
			r.SetURL(u)
			change(r.Out)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(func() {
		srv.Close()
		tr.CloseIdleConnections()
	})
	p.url = srv.URL
	return p
}
