package replication

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// fill makes a database with one of everything.
func (s *server) fill(db string) {
	s.t.Helper()
	s.do("PUT", "/"+db, "")
	s.do("PUT", "/"+db+"/plain", `{"n":1,"text":"é","list":[1,{"a":null}]}`)
	s.do("PUT", "/"+db+"/_design/d", `{"language":"javascript","views":{"v":{"map":"function(doc){emit(doc._id)}"}}}`)
	rev := s.rev(s.do("PUT", "/"+db+"/gone", `{}`))
	s.do("DELETE", "/"+db+"/gone?rev="+rev, "")
	s.do("POST", "/"+db+"/_bulk_docs", `{"new_edits":false,"docs":[
		{"_id":"conflict","_rev":"2-bb","_revisions":{"start":2,"ids":["bb","aa"]},"x":1},
		{"_id":"conflict","_rev":"2-cc","_revisions":{"start":2,"ids":["cc","aa"]},"x":2},
		{"_id":"conflict","_rev":"3-ee","_revisions":{"start":3,"ids":["ee","dd","aa"]},"_deleted":true}]}`)
	rev = s.rev(s.do("PUT", "/"+db+"/files/small%20one.bin", "hello", "Content-Type: application/octet-stream"))
	s.do("PUT", "/"+db+"/files/big?rev="+rev, strings.Repeat("0123456789abcdef", 150<<10), "Content-Type: application/octet-stream")
	data := base64.StdEncoding.EncodeToString([]byte("inline"))
	rev = s.rev(s.do("PUT", "/"+db+"/inline", `{"_attachments":{"x":{"content_type":"image/png","data":"`+data+`"}}}`))
	s.do("PUT", "/"+db+"/inline", `{"_rev":"`+rev+`","more":true,"_attachments":{"x":{"content_type":"image/png","stub":true,"digest":"`+s.digest(db)+`","revpos":1,"length":6}}}`)
	var many []string
	for i := range 520 {
		many = append(many, fmt.Sprintf(`{"_id":"many%04d","i":%d}`, i, i))
	}
	s.do("POST", "/"+db+"/_bulk_docs", `{"docs":[`+strings.Join(many, ",")+`]}`)
}

func (s *server) digest(db string) string {
	s.t.Helper()
	var doc struct {
		Atts map[string]struct {
			Digest string `json:"digest"`
		} `json:"_attachments"`
	}
	s.get("/"+db+"/inline", &doc)
	return doc.Atts["x"].Digest
}

// tree returns what a database says about its documents: each leaf with its
// history and the bytes of its attachments.
func (s *server) tree(db string) map[string]string {
	s.t.Helper()
	var changes struct{ Results []struct{ ID string } }
	s.get("/"+db+"/_changes", &changes)
	tree := map[string]string{}
	for _, c := range changes.Results {
		path := "/" + db + "/" + strings.ReplaceAll(url.PathEscape(c.ID), "_design%2F", "_design/")
		var leaves []struct{ OK map[string]any }
		s.get(path+"?open_revs=all&revs=true", &leaves)
		var lines []string
		for _, l := range leaves {
			atts, _ := l.OK["_attachments"].(map[string]any)
			for name, a := range atts {
				a := a.(map[string]any)
				data := s.do("GET", path+"/"+url.PathEscape(name)+"?rev="+l.OK["_rev"].(string), "")
				// Not revpos, which pouchdb-server sets to the revision that brings it.
				atts[name] = []any{a["content_type"], a["digest"], len(data), md5.Sum(data)}
			}
			data, err := json.Marshal(l.OK)
			if err != nil {
				s.t.Fatal(err)
			}
			lines = append(lines, string(data))
		}
		slices.Sort(lines)
		tree[c.ID] = strings.Join(lines, "\n")
	}
	return tree
}

func (s *server) same(t *testing.T, db string, o *server, other string) {
	t.Helper()
	a, b := s.tree(db), o.tree(other)
	if len(a) != len(b) {
		t.Errorf("%d documents, and %d at the other side", len(a), len(b))
	}
	for id := range a {
		if a[id] != b[id] {
			t.Errorf("%s differs\n here  %.600s\n there %.600s", id, a[id], b[id])
		}
	}
}

func (s *server) replicate(t *testing.T, source, target string, more ...string) (written int) {
	t.Helper()
	body := fmt.Sprintf(`{"source":%q,"target":%q%s}`, source, target, strings.Join(append([]string{""}, more...), ","))
	data, status := s.try("POST", "/_replicate", body)
	var r struct {
		OK      bool
		History []struct {
			Written  int `json:"docs_written"`
			Failures int `json:"doc_write_failures"`
		}
	}
	if err := json.Unmarshal(data, &r); err != nil || !r.OK || status >= 300 {
		t.Fatalf("%s: %d %s", body, status, data)
	}
	if len(r.History) == 0 {
		return 0
	}
	if r.History[0].Failures > 0 {
		t.Errorf("%s: %s", body, data)
	}
	return r.History[0].Written
}

func TestWithPouchdbServer(t *testing.T) {
	t.Parallel()
	they, we := pouch(t), ours(t)
	they.fill("theirs")
	we.fill("ours")
	t.Run("pull", func(t *testing.T) {
		if n := we.replicate(t, they.url+"/theirs", "pulled", `"create_target":true`); n != 528 {
			t.Errorf("%d revisions", n)
		}
		they.same(t, "theirs", we, "pulled")
	})
	t.Run("push", func(t *testing.T) {
		if n := we.replicate(t, "ours", they.url+"/pushed", `"create_target":true`); n != 528 {
			t.Errorf("%d revisions", n)
		}
		we.same(t, "ours", they, "pushed")
	})
	t.Run("again", func(t *testing.T) {
		rev := they.rev(they.do("PUT", "/theirs/later", `{}`))
		they.do("PUT", "/theirs/later/a?rev="+rev, "bytes", "Content-Type: application/octet-stream")
		if n := we.replicate(t, they.url+"/theirs", "pulled", `"create_target":true`); n != 1 {
			t.Errorf("%d revisions after one edit", n)
		}
		if n := we.replicate(t, they.url+"/theirs", "pulled", `"doc_ids":["later"]`); n != 0 {
			t.Errorf("%d revisions of what was there", n)
		}
	})
	t.Run("their replicator", func(t *testing.T) {
		they.do("PUT", "/by-them", "")
		they.replicate(t, we.url+"/ours", they.url+"/by-them")
		we.same(t, "ours", they, "by-them")
		we.do("PUT", "/from-them", "")
		they.replicate(t, they.url+"/theirs", we.url+"/from-them")
		they.same(t, "theirs", we, "from-them")
	})
	t.Run("two ways", func(t *testing.T) { twoWays(t, they, we) })
}

// twoWays edits on both sides while continuous replications run both ways.
func twoWays(t *testing.T, they, we *server) {
	for _, s := range []*server{they, we} {
		s.do("PUT", "/both", "")
	}
	we.do("PUT", "/_replicator", "")
	const admin = `"continuous":true,"checkpoint_interval":200,"user_ctx":{"name":"admin","roles":["_admin"]}`
	we.do("PUT", "/_replicator/in", fmt.Sprintf(`{"source":"%s/both","target":"both",%s}`, they.url, admin))
	we.do("PUT", "/_replicator/out", fmt.Sprintf(`{"source":"both","target":"%s/both",%s}`, they.url, admin))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 150 {
		s := []*server{they, we}[rng.IntN(2)]
		path := fmt.Sprintf("/both/d%d", rng.IntN(8))
		var doc struct {
			Rev  string                     `json:"_rev"`
			Atts map[string]json.RawMessage `json:"_attachments"`
		}
		if data, status := s.try("GET", path, ""); status == 200 {
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
		}
		// What is refused has met an edit of the other side.
		switch {
		case doc.Rev != "" && rng.IntN(5) == 0:
			s.try("DELETE", path+"?rev="+doc.Rev, "")
		case rng.IntN(4) == 0:
			s.try("PUT", path+"/file?rev="+doc.Rev, strings.Repeat("x", 1+rng.IntN(9)), "Content-Type: application/octet-stream")
		default:
			atts, err := json.Marshal(doc.Atts)
			if err != nil {
				t.Fatal(err)
			}
			with := ""
			if doc.Rev != "" {
				with = `,"_rev":"` + doc.Rev + `"`
			}
			if doc.Atts != nil {
				with += `,"_attachments":` + string(atts)
			}
			s.try("PUT", path, fmt.Sprintf(`{"i":%d%s}`, i, with))
		}
	}
	they.do("PUT", "/both/end-of-theirs", `{}`)
	we.do("PUT", "/both/end-of-ours", `{}`)
	we.await("end of theirs", func() bool { _, status := we.try("GET", "/both/end-of-theirs", ""); return status == 200 })
	they.await("end of ours", func() bool { _, status := they.try("GET", "/both/end-of-ours", ""); return status == 200 })
	we.await("equal trees", func() bool {
		a, b := they.tree("both"), we.tree("both")
		return fmt.Sprint(a) == fmt.Sprint(b)
	})
	they.same(t, "both", we, "both")
	var jobs struct {
		Docs []struct{ State string }
	}
	we.get("/_scheduler/docs", &jobs)
	if len(jobs.Docs) != 2 || jobs.Docs[0].State != "running" || jobs.Docs[1].State != "running" {
		t.Errorf("jobs: %+v", jobs)
	}
}
