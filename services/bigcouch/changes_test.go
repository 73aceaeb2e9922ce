package bigcouch_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func change(seq int, id, rev, more string) string {
	return fmt.Sprintf(`{"seq":"%d","id":%q,"changes":[{"rev":%q}]%s}`, seq, id, rev, more)
}

func feed(last, pending int, rows ...string) string {
	lines := "\n" + strings.Join(rows, ",\n")
	return fmt.Sprintf("{\"results\":[%s\n],\n\"last_seq\":\"%d\",\"pending\":%d}", lines, last, pending)
}

func TestChanges(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	for _, id := range []string{"a", "b", "c", "d"} {
		n.admin(201, "PUT", "/db/"+id, `{}`)
	}
	n.admin(200, "DELETE", "/db/b?rev="+n.rev("b"), "")
	a, b, c, d := change(1, "a", "1-x", ""), change(5, "b", "2-x", `,"deleted":true`), change(3, "c", "1-x", ""), change(4, "d", "1-x", "")
	since := func(i int) string { // The sequence behind row i.
		body := n.admin(200, "GET", fmt.Sprintf("/db/_changes?limit=%d", i), "").body
		_, rest, _ := strings.Cut(body, `"last_seq":"`)
		seq, _, _ := strings.Cut(rest, `"`)
		return seq
	}
	other := "9" + since(3)[strings.Index(since(3), "-"):] // The number is for people.
	n.tell([]step{
		{"", "GET", "/db/_changes", "", "", 200, feed(5, 0, a, c, d, b)},
		{"", "POST", "/db/_changes", "", "", 200, feed(5, 0, a, c, d, b)},
		{"", "POST", "/db/_changes", "", "Content-Type: text/plain", 415, notJSON},
		{"", "POST", "/db/_changes", "{", "", 400, badJSON},
		{"", "GET", "/db/_changes?descending=true&limit=2", "", "", 200, feed(4, 0, b, d)},
		{"", "GET", "/db/_changes?limit=2", "", "", 200, feed(3, 2, a, c)},
		{"", "GET", "/db/_changes?limit=0", "", "", 200, feed(0, 4)},
		{"", "GET", "/db/_changes?since=now", "", "", 200, feed(5, 0)},
		{"", "GET", "/db/_changes?since=0", "", "", 200, feed(5, 0, a, c, d, b)},
		{"", "GET", "/db/_changes?since=" + since(2), "", "", 200, feed(5, 0, d, b)},
		{"", "GET", "/db/_changes?since=%22" + since(3) + "%22", "", "", 200, feed(5, 0, b)},
		{"", "GET", "/db/_changes?since=" + other, "", "", 200, feed(5, 0, b)},
		{"", "GET", "/db/_changes?since=7", "", "", 400, `{"error":"bad_request","reason":"Malformed sequence supplied in 'since' parameter."}`},
		{"", "GET", "/db/_changes?since=7-%2a", "", "", 400, `{"error":"bad_request","reason":"Malformed sequence supplied in 'since' parameter."}`},
		{"", "GET", "/db/_changes?feed=carrier-pigeon", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"Supported `feed` types: normal, continuous, live, longpoll, eventsource\"}"},
		{"", "GET", "/db/_changes?style=x", "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"Unknown `style`\"}"},
		{"", "GET", "/db/_changes?filter=x/y", "", "", 404, missing},
		{"", "GET", "/db/_changes?heartbeat=0", "", "", 400, `{"error":"bad_request","reason":"The heartbeat value should be a positive integer (in milliseconds)."}`},
		{"", "GET", "/db/_changes?heartbeat=x", "", "", 400, `{"error":"bad_request","reason":"Invalid heartbeat value. Expecting a positive integer value (in milliseconds)."}`},
		{"", "GET", `/db/_changes?filter=_doc_ids&doc_ids=["b","a","none","a"]`, "", "", 200, feed(5, 0, a, b)},
		{"", "GET", `/db/_changes?filter=_doc_ids&doc_ids=["b","a"]&descending=true&limit=1`, "", "", 200, feed(5, 0, b)},
		{"", "POST", `/db/_changes`, `{"doc_ids":["a"]}`, "", 200, feed(5, 0, a)},
		{"", "GET", `/db/_changes?filter=_doc_ids`, "", "", 400, "{\"error\":\"bad_request\",\"reason\":\"`doc_ids` filter parameter is not a list of doc ids.\"}"},
		{"", "GET", "/db/_changes?include_docs=true&limit=1", "", "", 200, feed(1, 3, change(1, "a", "1-x", `,"doc":{"_id":"a","_rev":"1-x"}`))},
		{"", "GET", "/db/_changes?include_docs=true&since=" + since(3), "", "", 200, feed(5, 0, change(5, "b", "2-x", `,"deleted":true,"doc":{"_id":"b","_rev":"2-x","_deleted":true}`))},
		{"", "GET", "/db/_changes?feed=longpoll&timeout=10000", "", "", 200, feed(5, 0, a, c, d, b)},
		{"", "GET", "/db/_changes?feed=longpoll&since=now&timeout=20", "", "", 200, feed(5, 0)},
		{"", "GET", "/db/_changes?feed=longpoll&limit=0", "", "", 200, feed(0, 0)},
		{"", "GET", "/db/_changes?feed=continuous&since=now&timeout=20", "", "", 200, `{"last_seq":"5","pending":0}`},
		{"", "GET", "/db/_changes?feed=continuous&limit=2", "", "", 200, a + "\n" + c + "\n" + `{"last_seq":"3","pending":0}`},
	})
	// A sequence of the database's former life is answered from the start.
	old := since(4)
	n.admin(200, "DELETE", "/db", "")
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/new", `{}`)
	n.tell([]step{{"", "GET", "/db/_changes?since=" + old, "", "", 200, feed(1, 0, change(1, "new", "1-x", ""))}})
}

func (n *node) rev(id string) string {
	return strings.Trim(n.admin(200, "HEAD", "/db/"+id, "").header.Get("ETag"), `"`)
}

// follow reads a feed line by line; send "" for heartbeats.
func (n *node) follow(path string) (lines chan string, cancel func()) {
	n.t.Helper()
	req, err := http.NewRequest("GET", n.url+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	resp, err := n.hc.Do(req) // The header comes before any change.
	if err != nil {
		n.t.Fatal(err)
	}
	lines = make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, func() {
		resp.Body.Close()
		for range lines {
		}
	}
}

// next returns the next line that matters.
func next(t *testing.T, lines chan string) string {
	t.Helper()
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				return "end"
			}
			if l != "" {
				return hashes.ReplaceAllString(opaque.ReplaceAllString(hashes.ReplaceAllString(l, "$1-x"), `"$1"`), "$1-x")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nothing in 20 s")
		}
	}
}

func TestFeeds(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/other", "")

	live, cancel := n.follow("/db/_changes?feed=continuous&heartbeat=100")
	defer cancel()
	poll, stop := n.follow("/db/_changes?feed=longpoll&since=now&heartbeat=100")
	defer stop()
	chosen, drop := n.follow(`/db/_changes?feed=continuous&filter=_doc_ids&doc_ids=["b"]&heartbeat=100`)
	defer drop()
	if l := next(t, poll); l != `{"results":[` {
		t.Errorf("longpoll begins with %s", l)
	}
	select {
	case l := <-live:
		if l != "" {
			t.Errorf("%q instead of a heartbeat", l)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no heartbeat")
	}
	n.admin(201, "PUT", "/other/x", `{}`)
	n.admin(201, "PUT", "/db/a", `{}`)
	n.admin(201, "PUT", "/db/b", `{}`)
	if l := next(t, live); l != change(1, "a", "1-x", "") {
		t.Errorf("first change: %s", l)
	}
	if l := next(t, live); l != change(2, "b", "1-x", "") {
		t.Errorf("second change: %s", l)
	}
	if l := next(t, chosen); l != change(2, "b", "1-x", "") {
		t.Errorf("chosen: %s", l)
	}
	if l := next(t, poll); !strings.HasPrefix(l, change(1, "a", "1-x", "")) {
		t.Errorf("longpoll: %s", l)
	}
	// A feed ends with its database.
	n.admin(200, "DELETE", "/db", "")
	if l := next(t, live); !strings.HasPrefix(l, `{"last_seq":"2"`) {
		t.Errorf("after the database: %s", l)
	}
	// A feed ends with the node.
	last, end := n.follow("/other/_changes?feed=continuous&since=now&heartbeat=100")
	defer end()
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	if l := next(t, last); l != `{"last_seq":"1","pending":0}` {
		t.Errorf("after the node: %s", l)
	}
}
