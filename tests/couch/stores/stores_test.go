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
	judge(t, d.URLs[0], d.PasswordFile, nil)
}

// known is what pouchdb-server cannot do.
var known = map[string]string{
	"accounts":                              "everyone is administrator",
	"follow_users/from_an_unknown_sequence": "it waits for what comes after a since that it does not understand",
	"many_documents/a_huge_document":        "it takes documents of any size",
}

func TestPouchDBServer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	judge(t, withoutAccounts(t, foreign.Serve(t).URL), file, known)
}

func judge(t *testing.T, url, passwordFile string, known map[string]string) {
	t.Helper()
	suite.Suite{
		Test: "TestSuite", Env: []string{urlVar + "=" + url, passwordVar + "=" + passwordFile}, Least: 25, Known: known,
	}.Judge(t)
}

// withoutAccounts returns the URL of a proxy that takes passwords away: a
// pouchdb-server where everyone is administrator knows none, and refuses them.
func withoutAccounts(t *testing.T, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	srv := httptest.NewServer(&httputil.ReverseProxy{
		Transport: tr, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Header.Del("Authorization")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(func() {
		srv.Close()
		tr.CloseIdleConnections()
	})
	return srv.URL
}
