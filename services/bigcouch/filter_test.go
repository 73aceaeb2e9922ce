package bigcouch_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFilters(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{"kind":"x","n":1}`)
	n.admin(201, "PUT", "/db/b", `{"kind":"y"}`)
	n.admin(201, "PUT", "/db/_design/d", `{}`)
	n.admin(201, "PUT", "/db/c", `{"kind":"x","n":2}`)
	n.admin(200, "DELETE", "/db/b?rev="+n.rev("b"), "")
	n.admin(201, "POST", "/db/_bulk_docs", `{"new_edits":false,"docs":[{"_id":"e","_rev":"1-a","kind":"x"},{"_id":"e","_rev":"1-b","kind":"y"},{"_id":"e","_rev":"1-c","kind":"y"}]}`)
	a, d, c, b := change(1, "a", "1-x", ""), change(3, "_design/d", "1-x", ""), change(4, "c", "1-x", ""), change(5, "b", "2-x", `,"deleted":true`)
	selector := func(sel, more string) string { return `{"selector":` + sel + more + `}` }
	bad := func(reason string) string { return `{"error":"bad_request","reason":"` + reason + `"}` }
	n.tell([]step{
		{"", "GET", "/db/_changes?filter=_design", "", "", 200, feed(8, 0, d)},
		{"", "POST", "/db/_changes?filter=_selector", selector(`{"kind":"x"}`, ""), "", 200, feed(8, 0, a, c)},
		{"", "POST", "/db/_changes?filter=_selector&descending=true", selector(`{"kind":"x"}`, ""), "", 200, feed(1, 0, c, a)},
		{"", "POST", "/db/_changes?filter=_selector&limit=1", selector(`{"kind":"x"}`, ""), "", 200, feed(1, 4, a)},
		{"", "POST", "/db/_changes?filter=_selector", selector(`{"_deleted":true}`, ""), "", 200, feed(8, 0, b)},
		// A change has the leaves that pass; the winner is one of the others.
		{"", "POST", "/db/_changes?filter=_selector&style=all_docs", selector(`{"kind":"x","_id":"e"}`, ""), "", 200, feed(8, 0, change(8, "e", "1-a", ""))},
		{"", "POST", "/db/_changes?filter=_selector&include_docs=true", selector(`{"_id":"c"}`, `,"fields":["_id","n"]`), "", 200, feed(8, 0, change(4, "c", "1-x", `,"doc":{"_id":"c","n":2}`))},
		{"", "GET", "/db/_changes?filter=_selector", "", "", 400, bad("Selector must be specified in POST payload")},
		{"", "POST", "/db/_changes?filter=_selector", `{}`, "", 400, bad("Selector must be specified in POST payload")},
		{"", "POST", "/db/_changes?filter=_selector", selector(`7`, ""), "", 400, bad("Selector error: expected a JSON Object")},
		{"", "POST", "/db/_changes?filter=_selector", selector(`{}`, `,"fields":7`), "", 400, bad("Selector error: fields must be JSON array")},
		{"", "POST", "/db/_changes?filter=_selector", selector(`{"a":{"$nosuch":1}}`, ""), "", 400, `{"error":"invalid_operator","reason":"Invalid operator: $nosuch"}`},
		{"", "POST", "/db/_changes?filter=_doc_ids", `{}`, "", 400, bad("`doc_ids` filter parameter is not a list of doc ids.")},
		{"", "GET", `/db/_changes?filter=_doc_ids&doc_ids=7`, "", "", 400, bad("`doc_ids` filter parameter is not a list of doc ids.")},
		{"", "POST", "/db/_changes", `{"doc_ids":7}`, "", 400, badJSON},
		{"", "POST", "/db/_changes?filter=_selector&feed=longpoll&timeout=20", selector(`{"kind":"none"}`, ""), "", 200, feed(8, 0)},
		{"", "GET", "/db/_changes?filter=_design&seq_interval=2&style=all_docs", "", "", 200, strings.Replace(feed(8, 0, d), `"seq":"3"`, `"seq":null`, 1)},
		{"", "GET", "/db/_changes?seq_interval=2&limit=3", "", "", 200, strings.Replace(strings.Replace(feed(4, 2, a, d, c), `"seq":"1"`, `"seq":null`, 1), `"seq":"4"`, `"seq":null`, 1)},
		{"", "GET", "/db/_changes?seq_interval=0", "", "", 400, bad("invalid_seq_interval")},
		{"", "GET", "/db/_changes?seq_interval=x", "", "", 400, bad("invalid_seq_interval")},
		{"", "GET", "/db/_changes?heartbeat=-5", "", "", 400, bad("The heartbeat value should be a positive integer (in milliseconds).")},
		{"", "GET", "/db/_changes?timeout=x", "", "", 400, `{"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}`},
		{"", "GET", "/db/_changes?limit=x", "", "", 400, `{"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}`},
	})
}

func TestEventSource(t *testing.T) {
	n := start(t, t.TempDir())
	n.admin(201, "PUT", "/db", "")
	n.admin(201, "PUT", "/db/a", `{}`)
	n.admin(201, "PUT", "/db/b", `{}`)
	one := n.admin(200, "GET", "/db/_changes?feed=eventsource&limit=1&timeout=20", "")
	if got := one.header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type = %q", got)
	}
	lines := strings.Split(one.body, "\n")
	plain := answer{body: hashes.ReplaceAllString(one.body, "$1-x")}.plain()
	if want := "data: " + change(1, "a", "1-x", "") + "\nid: \"1\"\n"; plain != want {
		t.Errorf("events:\n%s\nwant\n%s", plain, want)
	}
	// A browser that comes again names the last event that it has seen.
	id := strings.TrimPrefix(lines[1], "id: ")
	again := n.admin(200, "GET", "/db/_changes?feed=eventsource&timeout=20&since=0", "", "Last-Event-ID: "+id)
	if strings.Contains(again.body, `"id":"a"`) || !strings.Contains(again.body, `"id":"b"`) {
		t.Errorf("after %s: %s", id, again.body)
	}
	byQuery := n.admin(200, "GET", "/db/_changes?last-event-id="+strings.Trim(id, `"`), "")
	if strings.Contains(byQuery.body, `"id":"a"`) || !strings.Contains(byQuery.body, `"id":"b"`) {
		t.Errorf("after %s: %s", id, byQuery.body)
	}

	req, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/db/_changes?feed=eventsource&since=now&heartbeat=100", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("admin", password)
	resp, err := n.hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop := time.AfterFunc(20*time.Second, func() { resp.Body.Close() })
	defer stop.Stop()
	s := bufio.NewScanner(resp.Body)
	event := func() string {
		var lines []string
		for s.Scan() && s.Text() != "" {
			lines = append(lines, s.Text())
		}
		return strings.Join(lines, "|")
	}
	if got := event(); got != "event: heartbeat|data: " {
		t.Errorf("first event %q, want a heartbeat", got)
	}
	n.admin(201, "PUT", "/db/c", `{}`)
	for {
		got := answer{body: hashes.ReplaceAllString(event(), "$1-x")}.plain()
		if got == "event: heartbeat|data: " {
			continue
		}
		if want := "data: " + change(3, "c", "1-x", "") + `|id: "3"`; got != want {
			t.Errorf("event %q, want %q", got, want)
		}
		break
	}
}
