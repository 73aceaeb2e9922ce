package kivik_test

import (
	"context"
	"os"
	"testing"

	"github.com/go-kivik/kivik/v4"
	_ "github.com/go-kivik/kivik/v4/couchdb"          // The driver.
	_ "github.com/go-kivik/kivik/v4/kiviktest/client" // Tests of servers.
	_ "github.com/go-kivik/kivik/v4/kiviktest/db"     // Tests of databases.
	"github.com/go-kivik/kivik/v4/kiviktest/kt"
)

// The server that TestSuite tests: set by TestKivik, which runs it as a
// process of its own so that it may fail.
const (
	urlVar      = "LEAP_KIVIK_URL"
	adminURLVar = "LEAP_KIVIK_ADMIN_URL"
)

// TestSuite is what kiviktest.Test does; that package does not compile with
// this version of Go, those with the tests do.
func TestSuite(t *testing.T) {
	url, adminURL := os.Getenv(urlVar), os.Getenv(adminURLVar)
	if url == "" {
		t.Skip("it is run by TestKivik")
	}
	c := &kt.Context{RW: true, Config: expectations(url, adminURL)}
	for to, dsn := range map[**kivik.Client]string{&c.Admin: adminURL, &c.NoAuth: url} {
		client, err := kivik.New("couch", dsn)
		if err != nil {
			t.Fatal(err)
		}
		*to = client
		t.Cleanup(func() { _ = client.Close() })
	}
	for _, name := range []string{"_users", "_replicator", "_global_changes"} {
		if err := c.Admin.CreateDB(context.Background(), name); err != nil && kivik.HTTPStatus(err) != 412 {
			t.Fatal(err)
		}
	}
	kt.RunSubtests(t, c)
}
