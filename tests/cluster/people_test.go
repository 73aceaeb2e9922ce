package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leap.example/image/compile"
	"leap.example/tests/lab"
	"leap.example/tests/play"
)

const (
	invite  = "abcd-efgh"
	slow    = 8                // Times the deadlines of a story on a machine that runs its provider itself.
	askWait = 20 * time.Second // For one answer of the database.
)

// newStory puts two people on the stage, which the nodes are.
func newStory(t *testing.T, l *lab.Lab, db play.Database) *play.Story {
	t.Helper()
	doors := l.Doors()
	i, _ := l.Op.Open()
	about, err := compile.Bootstrap(i, "")
	check(t, err)
	tr := &http.Transport{DialContext: l.Dial, TLSClientConfig: l.Op.Web()}
	t.Cleanup(tr.CloseIdleConnections)
	ctx, cancel := context.WithCancel(t.Context())
	s := &play.Story{
		Ctx: ctx, Dir: filepath.Join(l.Dir, "people"), Leapc: l.Leapc(), Slow: slow,
		At: play.Stage{
			Domain: domain, Bootstrap: domain, Fingerprint: about.CACertFingerprint, Resolver: doors.Resolver(), Invite: invite,
			Web: "https://" + domain, Nickserver: "https://nicknym." + domain + ":6425", WKD: "https://openpgpkey." + domain,
			HTTP: &http.Client{Transport: tr, Timeout: time.Minute}, MX: netip.AddrPortFrom(doors.At(l.Node("mail").Addr()), 25).String(), Database: db,
			Files: func(*play.Finder) error { return nil }, // Disks are looked at once nobody writes to them.
		},
	}
	check(t, os.Mkdir(s.Dir, 0o700))
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			var tails strings.Builder
			s.Tails(&tails)
			t.Log(tails.String())
		}
		s.End()
	})
	return s
}

// live does steps of a story, and before each what is to be done then.
func live(t *testing.T, l *lab.Lab, steps []play.Step, before map[string]func()) {
	t.Helper()
	for _, s := range steps {
		if do, ok := before[s.What]; ok {
			do()
			delete(before, s.What)
		}
		l.Step("  "+s.What, func() {
			if err := s.Do(); err != nil {
				t.Fatalf("%s: %v", s.What, err)
			}
		})
	}
	for what := range before {
		t.Errorf("the story has no step %q", what)
	}
}

// newDatabase is the database as an administrator in the mesh sees it.
func newDatabase(t *testing.T, l *lab.Lab, m *lab.Member) play.Database {
	t.Helper()
	tr := &http.Transport{DialContext: m.DialContext, ResponseHeaderTimeout: askWait}
	t.Cleanup(tr.CloseIdleConnections)
	db := play.Database{Password: strings.TrimSpace(string(l.Op.Secrets()["password.admin"])), HTTP: &http.Client{Transport: tr, Timeout: 2 * askWait}}
	i, _ := l.Op.Open()
	for _, name := range databases {
		db.URLs = append(db.URLs, "http://"+netip.AddrPortFrom(i.Node(name).Mesh.Address, 5984).String())
	}
	return db
}

// ask sends a request to one node of the database.
func ask(ctx context.Context, db play.Database, k int, method, path, body string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, db.URLs[k]+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth("admin", db.Password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := db.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // Only read.
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// equal waits until all copies of all shards are the same.
func equal(t *testing.T, l *lab.Lab, db play.Database) {
	t.Helper()
	l.Until("all copies are equal", func(ctx context.Context) error {
		var got struct {
			Equal  bool
			Shards json.RawMessage
		}
		if err := ask(ctx, db, 0, http.MethodPost, "/_node/_local/_digest", "", &got); err != nil {
			return err
		}
		if !got.Equal {
			return fmt.Errorf("they are not: %s", got.Shards)
		}
		return nil
	})
}
