package bigcouch_test

import (
	"fmt"
	"strings"
	"testing"
)

func dbUpdate(db, kind string, seq int) string {
	return fmt.Sprintf(`{"db_name":%q,"type":%q,"seq":"%d"}`, db, kind, seq)
}

func dbFeed(last int, rows ...string) string {
	return fmt.Sprintf("{\"results\":[\n%s\n],\n\"last_seq\":\"%d\"}", strings.Join(rows, ",\n"), last)
}

func TestDatabaseUpdates(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	n.admin(201, "PUT", "/a", "")
	n.admin(201, "PUT", "/b", "")
	a, b := dbUpdate("a", "created", 1), dbUpdate("b", "created", 1)
	last := func(a answer) string {
		_, rest, _ := strings.Cut(a.body, `"last_seq":"`)
		seq, _, _ := strings.Cut(rest, `"`)
		return seq
	}
	n.tell([]step{
		{"webapp", "GET", "/_db_updates", "", "", 401, notAdmin},
		{"", "POST", "/_db_updates", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}`},
		{"", "GET", "/_db_updates", "", "", 200, dbFeed(1, a, b)},
		{"", "GET", "/_db_updates?since=now", "", "", 200, dbFeed(1)},
		{"", "GET", "/_db_updates?since=x", "", "", 400, `{"error":"bad_request","reason":"Malformed sequence supplied in 'since' parameter."}`},
		{"", "GET", "/_db_updates?feed=x", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"Supported `feed` types: normal, continuous, live, longpoll, eventsource\"}"},
		{"", "GET", "/_db_updates?feed=longpoll&since=now&timeout=20", "", "", 200, dbFeed(1)},
		{"", "GET", "/_db_updates?feed=continuous&since=now&timeout=20", "", "", 200, `{"last_seq":"1"}`},
		{"", "GET", "/_db_updates?feed=eventsource&since=now&timeout=20", "", "", 200, ``},
	})
	before := last(n.admin(200, "GET", "/_db_updates", ""))
	live, cancel := n.follow("/_db_updates?feed=continuous&since=" + before + "&heartbeat=100")
	defer cancel()
	poll, stop := n.follow("/_db_updates?feed=longpoll&since=" + before)
	defer stop()
	if l := next(t, poll); l != `{"results":[` {
		t.Errorf("longpoll begins with %s", l)
	}
	n.admin(201, "PUT", "/a/doc", `{}`)
	if l := next(t, live); l != dbUpdate("a", "updated", 2) {
		t.Errorf("an update: %s", l)
	}
	if l := next(t, poll); l != dbUpdate("a", "updated", 2) {
		t.Errorf("longpoll: %s", l)
	}
	n.admin(201, "PUT", "/c", "")
	if l := next(t, live); l != dbUpdate("c", "created", 3) {
		t.Errorf("a creation: %s", l)
	}
	n.admin(201, "PUT", "/c/doc", `{}`)
	if l := next(t, live); l != dbUpdate("c", "updated", 4) {
		t.Errorf("an update of what was made: %s", l)
	}
	n.admin(200, "DELETE", "/b", "")
	if l := next(t, live); l != dbUpdate("b", "deleted", 5) {
		t.Errorf("a deletion: %s", l)
	}
	up := []string{dbUpdate("a", "updated", 2), dbUpdate("c", "updated", 4), dbUpdate("b", "deleted", 5)}
	n.tell([]step{
		{"", "GET", "/_db_updates?since=" + before, "", "", 200, dbFeed(5, up...)},
		{"", "GET", "/_db_updates", "", "", 200, dbFeed(5, up...)},
	})
	// Another life of the node begins again.
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	n.tell([]step{{"", "GET", "/_db_updates?since=" + before, "", "", 200, dbFeed(1, a, dbUpdate("c", "created", 1))}})
}
