package bigcouch

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What FuzzStory makes requests of. {a} stands for the present revision of the
// document a.
var (
	storyMethods = []string{"GET", "PUT", "POST", "DELETE", "HEAD", methodCopy, "OPTIONS"}
	storyPaths   = []string{
		"/db/a", "/db/b", "/db/a/f", "/db/a/d%2Ff", "/db/_local/a", "/db/_design/d", "/db/_design/d/f", "/db", "/db/_bulk_docs", "/db/_bulk_get", "/db/_all_docs",
		"/db/_all_docs/queries", "/db/_design_docs", "/db/_local_docs", "/db/_changes", "/db/_find", "/db/_explain", "/db/_index", "/db/_index/i/json/n",
		"/db/_index/_bulk_delete", "/db/_revs_diff", "/db/_missing_revs", "/db/_purge", "/db/_revs_limit", "/db/_purged_infos_limit", "/db/_security", "/db/_shards/a",
		"/db/_compact", "/_dbs_info", "/_db_updates", "/_all_dbs", "/_session", "/_users/org.couchdb.user:u", "/_users", "/_node/_local/_stats", "/other",
	}
	storyQueries = []string{
		"", "rev={a}", "rev=1-a", "rev=x", "new_edits=false", "open_revs=all", `open_revs=["1-a","{a}"]`, "latest=true&rev=1-a", "attachments=true", `atts_since=["{a}","1-a"]`,
		"revs=true&revs_info=true&meta=true&local_seq=true", "conflicts=true", "include_docs=true", `key="a"`, `start_key="b"&descending=true`, `end_key={}`, `keys=["a",7]`,
		"limit=1&skip=1", "limit=0", "limit=-1", "update_seq=true", "feed=longpoll", "feed=continuous&include_docs=true", "feed=eventsource&seq_interval=2", "since=now",
		"filter=_selector", "filter=_design&style=all_docs", `filter=_doc_ids&doc_ids=["a"]`, "next=/x", "q=8",
	}
	storyHeaders = []string{
		"", "Accept: multipart/related", "Accept: multipart/mixed", "Destination: b", "Destination: b?rev={a}", "Range: bytes=1-2", `If-Match: "{a}"`, `If-None-Match: "{a}"`,
		`Content-Type: multipart/related; boundary=x`, "Content-Type: text/plain", "Content-Encoding: gzip", "X-Leap-Op: 0123456789abcdef", "Last-Event-ID: 1-x",
	}
	storyBodies = []string{
		"", `{}`, `[]`, `{"n":1}`, `{"_rev":"{a}","n":2}`, `{"_id":"b","_deleted":true}`, `{"_attachments":{"f":{"data":"aGVsbG8="}}}`,
		`{"_rev":"{a}","_attachments":{"f":{"stub":true},"d/f":{"data":"","content_type":"text/plain"}}}`, `{"_rev":"3-c","_revisions":{"start":3,"ids":["c","b","a"]}}`,
		`{"docs":[{"_id":"a","_rev":"{a}"},{"_id":"b"},{"_id":"_local/a"},{"_id":"_design/d","language":"query"}]}`,
		`{"new_edits":false,"docs":[{"_id":"a","_revisions":{"start":2,"ids":["b","a"]}},{"_id":"a","_rev":"2-d","_deleted":true}]}`,
		`{"docs":[{"id":"a"},{"id":"a","rev":"{a}","atts_since":["1-a"]},{"id":"none"},{}]}`, `{"keys":["a","_local/a","_design/d",null]}`,
		`{"queries":[{"keys":["a"]},{"start_key":"a","include_docs":true}]}`, `{"selector":{"n":{"$gt":0}},"sort":["n"],"limit":2}`,
		`{"selector":{"$or":[{"n":1},{"_id":{"$gt":null}}]},"fields":["n","_id"],"skip":1,"execution_stats":true}`, `{"index":{"fields":["n"]},"ddoc":"i","name":"n"}`,
		`{"docids":["i","d"]}`, `{"a":["1-a","{a}"],"b":["2-b"]}`, `1`, `3`, `{"admins":{"names":["b"]},"members":{"roles":["r"]}}`, `{"doc_ids":["a","b"]}`,
		`{"name":"a","password":"x"}`, `{"type":"user","name":"u","roles":[]}`,
		"--x\r\n\r\n" + `{"_rev":"{a}","_attachments":{"f":{"follows":true,"length":2}}}` + "\r\n--x\r\n\r\nhi\r\n--x--",
	}
)

// Whatever order things are done in, the server is never at fault: five bytes
// choose each request of a story.
func FuzzStory(f *testing.F) {
	n := running(f)
	for i := range storyPaths {
		var story []byte
		for j := range storyMethods[:6] {
			story = append(story, byte(j), byte(i), byte(i*3+j), byte(i+j), byte(i*5+j*7))
		}
		f.Add(story)
	}
	header := func(line string) http.Header {
		h := http.Header{"Authorization": {"Basic YTp4"}, "Content-Type": {typeJSON}}
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Set(name, value)
		}
		return h
	}
	f.Fuzz(func(t *testing.T, story []byte) {
		n.request("DELETE", &url.URL{Path: "/db"}, header(""), "")
		for _, path := range []string{"/db", "/_users"} {
			n.request("PUT", &url.URL{Path: path}, header(""), "")
		}
		n.request("PUT", &url.URL{Path: "/db/a"}, header(""), storyBodies[6])
		for ; len(story) >= 5; story = story[5:] {
			rev := strings.Trim(n.request("HEAD", &url.URL{Path: "/db/a"}, header(""), "").Header().Get("ETag"), `"`)
			pick := func(list []string, i int) string {
				return strings.ReplaceAll(list[int(story[i])%len(list)], "{a}", rev)
			}
			method, line, body := pick(storyMethods, 0), pick(storyHeaders, 3), pick(storyBodies, 4)
			u, err := url.Parse(pick(storyPaths, 1))
			if err != nil {
				t.Fatal(err)
			}
			values, err := url.ParseQuery(pick(storyQueries, 2))
			if err != nil {
				t.Fatal(err)
			}
			u.RawQuery = values.Encode()
			if w := n.request(method, u, header(line), body); w.Code == http.StatusInternalServerError {
				t.Fatalf("%s %s, %s, %q: %d %s", method, u, line, body, w.Code, w.Body)
			}
		}
	})
}
