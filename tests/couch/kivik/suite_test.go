package kivik_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

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
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { chatter(c.Admin.DB("_global_changes"), done) })
	defer wg.Wait()
	defer close(done)
	kt.RunSubtests(t, c)
}

// chatter makes something happen now and then, as it does on a server with
// users: the feed of updates is read alone, and its client says nothing before
// the first one.
func chatter(db *kivik.DB, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
			_, _, _ = db.CreateDoc(context.Background(), map[string]int{"n": 1}) // The next one will do.
		}
	}
}
