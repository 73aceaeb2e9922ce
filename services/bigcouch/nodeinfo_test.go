package bigcouch_test

import (
	"encoding/json"
	"strings"
	"testing"

	"leap.example/services/bigcouch"
)

func TestNodeInfo(t *testing.T) {
	n := start(t, t.TempDir(), func(c *bigcouch.Config) { c.Listen = "127.0.0.2:0" })
	n.admin(201, "PUT", "/db", "")
	const name = "bigcouch@127.0.0.2"
	none := `{"error":"not_found","reason":"missing handler"}`
	n.tell([]step{
		{"", "GET", "/_membership", "", "", 200, `{"all_nodes":["` + name + `"],"cluster_nodes":["` + name + `"]}`},
		{"webapp", "GET", "/_membership", "", "", 401, notAdmin},
		{"", "POST", "/_membership", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}`},
		{"", "GET", "/_active_tasks", "", "", 200, `[]`},
		{"webapp", "GET", "/_active_tasks", "", "", 401, notAdmin},
		{"", "GET", "/_node/_local", "", "", 200, `{"name":"` + name + `"}`},
		{"", "GET", "/_node/" + name, "", "", 200, `{"name":"` + name + `"}`},
		{"", "GET", "/_node/other", "", "", 404, `{"error":"not_found","reason":"no such node: other"}`},
		{"", "GET", "/_node", "", "", 404, none},
		{"", "GET", "/_node/_local/_config", "", "", 404, none},
		{"", "GET", "/_node/_local/_system/x", "", "", 404, none},
		{"", "POST", "/_node/_local/_stats", "", "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}`},
		{"webapp", "GET", "/_node/_local/_stats", "", "", 401, notAdmin},
		{"nobody", "GET", "/_node/_local/_prometheus", "", "", 401, notAdmin},
		{"", "GET", "/db/_shards", "", "", 200, `{"shards":{"00000000-ffffffff":["` + name + `"]}}`},
		{"", "GET", "/db/_shards/doc", "", "", 200, `{"range":"00000000-ffffffff","nodes":["` + name + `"]}`},
		{"", "GET", "/db/_shards/_x", "", "", 400, `{"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`},
		{"", "GET", "/none/_shards", "", "", 404, noDatabase},
		{"", "POST", "/db/_sync_shards", "", "", 202, okBody},
		{"", "GET", "/db/_sync_shards", "", "", 405, `{"error":"method_not_allowed","reason":"Only POST allowed"}`},
		{"nobody", "GET", "/_utils", "", "", 401, `{"error":"unauthorized","reason":"You are not a server admin."}`},
		{"", "GET", "/_utils", "", "", 404, noDatabase},
	})
	n.admin(201, "PUT", "/db/a", `{}`)
	n.admin(409, "PUT", "/db/a", `{}`)
	n.admin(200, "GET", "/db/a", "")
	var one struct {
		Value float64
		Type  string
		Desc  string
	}
	for path, want := range map[string]float64{
		"couchdb/document_writes": 2, "couchdb/database_reads": 1, "couchdb/httpd_status_codes/409": 1, "couchdb/httpd_request_methods/POST": 3,
	} {
		a := n.admin(200, "GET", "/_node/_local/_stats/"+path, "")
		if err := json.Unmarshal([]byte(a.body), &one); err != nil || one.Value != want || one.Type != "counter" || one.Desc == "" {
			t.Errorf("%s: %s, want %v", path, a.body, want)
		}
	}
	n.admin(404, "GET", "/_node/_local/_stats/couchdb/none", "")
	n.admin(404, "GET", "/_node/_local/_stats/couchdb/document_writes/value/deeper", "")
	metrics := n.admin(200, "GET", "/_node/_local/_prometheus", "", "Accept: text/plain")
	for _, line := range []string{
		`couchdb_httpd_requests_total{method="PUT",status="409"} 1`, "couchdb_document_writes_total 2", "couchdb_store_bytes ", "go_goroutines ",
		"couchdb_request_seconds_bucket{le=\"+Inf\"}", "couchdb_httpd_clients_requesting_changes 0",
	} {
		if !strings.Contains(metrics.body, "\n"+line) {
			t.Errorf("metrics have no %s:\n%s", line, metrics.body)
		}
	}
	var system map[string]json.RawMessage
	if a := n.admin(200, "GET", "/_node/_local/_system", ""); json.Unmarshal([]byte(a.body), &system) != nil || system["uptime"] == nil || system["memory"] == nil {
		t.Errorf("_system: %s", a.body)
	}
}

func TestDatabasesInfo(t *testing.T) {
	n := start(t, t.TempDir())
	for _, db := range []string{"a", "b", "c"} {
		n.admin(201, "PUT", "/"+db, "")
	}
	keys := func(a answer) string {
		var rows []struct {
			Key, Error string
			Info       *struct {
				Name string `json:"db_name"`
			}
		}
		if err := json.Unmarshal([]byte(a.body), &rows); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
		var list []string
		for _, r := range rows {
			if r.Info != nil && r.Info.Name != r.Key {
				t.Errorf("%s is told of as %s", r.Key, r.Info.Name)
			}
			list = append(list, r.Key+r.Error)
		}
		return strings.Join(list, ",")
	}
	if got := keys(n.admin(200, "GET", "/_dbs_info", "")); got != "a,b,c" {
		t.Errorf("all: %s", got)
	}
	if got := keys(n.admin(200, "GET", `/_dbs_info?start_key="b"&descending=false&limit=1`, "")); got != "b" {
		t.Errorf("a range: %s", got)
	}
	if got := keys(n.admin(200, "POST", "/_dbs_info", `{"keys":["c","none","a"]}`)); got != "c,nonenot_found,a" {
		t.Errorf("chosen: %s", got)
	}
	n.tell([]step{
		{"webapp", "GET", "/_dbs_info", "", "", 401, notAdmin},
		{"webapp", "POST", "/_dbs_info", `{"keys":[]}`, "", 401, notAdmin},
		{"", "POST", "/_dbs_info", `{"keys":[]}`, "", 200, `[]`},
		{"", "POST", "/_dbs_info", `{}`, "", 400, "{\"error\":\"bad_request\",\"reason\":\"`keys` member must exist.\"}"},
		{"", "POST", "/_dbs_info", `{"keys":[7]}`, "", 400, `{"error":"bad_request","reason":"Request body has a member of the wrong type"}`},
		{"", "POST", "/_dbs_info", `{"keys":["a"` + strings.Repeat(`,"a"`, 100) + `]}`, "", 400, `{"error":"bad_request","reason":"too_many_keys"}`},
		{"", "POST", "/_dbs_info", `{}`, "Content-Type: text/plain", 415, notJSON},
		{"", "DELETE", "/_dbs_info", ``, "", 405, `{"error":"method_not_allowed","reason":"Only GET,HEAD,POST allowed"}`},
	})
}
