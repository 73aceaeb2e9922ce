package soledad_test

import (
	"fmt"
	"strings"
	"testing"

	"leap.example/services/protocol/u1db"
	"leap.example/services/soledad"
)

const (
	device = "41414141414141414141414141414141"
	path   = "/user-" + alice + "/sync-from/" + device

	putType   = header("Content-Type: " + u1db.SyncPut)
	getType   = header("Content-Type: " + u1db.SyncGet)
	plainType = header("Content-Type: " + u1db.PlainStream)
)

// state returns where alice's database stands.
func (s *site) state() (replica string, gen int, trans string) {
	s.t.Helper()
	replica, gen, trans, err := s.mem.Open(alice).Info(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return replica, gen, trans
}

// trans returns the transaction id of a generation of alice's database.
func (s *site) trans(gen int) string {
	s.t.Helper()
	trans, err := s.mem.Open(alice).TransID(s.t.Context(), gen)
	if err != nil {
		s.t.Fatal(err)
	}
	return trans
}

// seed stores documents as another device would.
func (s *site) seed(docs ...u1db.Document) {
	s.t.Helper()
	db := s.mem.Open(alice)
	for _, d := range docs {
		old, _ := db.Get(s.t.Context(), d.ID)
		if _, err := db.Append(s.t.Context(), []u1db.Document{d}, []string{old.Rev}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// syncHead returns the first element of a request, exactly as a classic client
// writes it.
func syncHead(gen int, trans, syncID string, ensure bool) string {
	return fmt.Sprintf(`{"last_known_generation": %d, "last_known_trans_id": "%s", "sync_id": "%s", "ensure": %t}`, gen, trans, syncID, ensure)
}

// TestSequence is the whole of leap-protocols.md 7.4, byte by byte, in the two
// soledad content types.
func TestSequence(t *testing.T) {
	s := start(t, nil)
	replica, _, _ := s.state()
	s.seed(u1db.Document{ID: "D-old", Rev: "other:1", Content: `{"raw": "theirs"}`})
	const syncID = "51515151515151515151515151515151"

	// 1. Where are we?
	a := s.do("GET", path, nil)
	s.want("step 1", a, 200, fmt.Sprintf(`{"target_replica_uid":"%s","target_replica_generation":1,"target_replica_transaction_id":"%s",`+
		`"source_replica_uid":"%s","source_replica_generation":0,"source_transaction_id":""}`, replica, s.trans(1), device))
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("step 1 is %q", got)
	}

	// 3. A push of two documents, one of them deleted; the entry's own content
	// is a historical duplicate.
	a = s.do("POST", path, strings.NewReader("[\r\n"+
		syncHead(0, "", syncID, false)+",\r\n"+
		`{"id":"D-a","rev":"`+device+`:3","content":"{\"raw\": \"old\"}","gen":8,"trans_id":"T-8","number_of_docs":2,"doc_idx":1},`+"\r\n"+
		`{"raw": "mine"},`+"\r\n"+
		`{"id":"D-b","rev":"`+device+`:4","content":null,"gen":9,"trans_id":"T-9","number_of_docs":2,"doc_idx":2},`+"\r\n"+
		"\r\n"+
		"]"), putType)
	s.want("step 3", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":3,"new_transaction_id":"%s"}`+"\r\n]\r\n", s.trans(3)))
	if got := a.header.Get("Content-Type"); got != u1db.SyncPutResponse {
		t.Errorf("step 3 is %q", got)
	}
	if d, err := s.mem.Open(alice).Get(t.Context(), "D-a"); err != nil || d.Content != `{"raw": "mine"}` || d.Rev != device+":3" {
		t.Errorf("stored: %+v, %v", d, err)
	}

	// 4. The pull has the other device's document and not our own.
	get := "[\r\n" + syncHead(0, "", syncID, false) + "\r\n]"
	pulled := fmt.Sprintf("[\r\n"+`{"new_generation":3,"new_transaction_id":"%s","number_of_changes":1},`+"\r\n"+
		`{"id":"D-old","rev":"other:1","gen":1,"trans_id":"%s"},`+"\r\n"+
		`{"raw": "theirs"}`+"\r\n]\r\n", s.trans(3), s.trans(1))
	a = s.do("POST", path, get, getType)
	s.want("step 4", a, 200, pulled)
	if got := a.header.Get("Content-Type"); got != u1db.SyncGetResponse {
		t.Errorf("step 4 is %q", got)
	}

	// Our own document comes when it has changed again.
	s.seed(u1db.Document{ID: "D-a", Rev: device + ":3|other:1", Content: ""})
	a = s.do("POST", path, get, getType)
	s.want("step 4, later", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":4,"new_transaction_id":"%s","number_of_changes":2},`+"\r\n"+
		`{"id":"D-old","rev":"other:1","gen":1,"trans_id":"%s"},`+"\r\n"+
		`{"raw": "theirs"},`+"\r\n"+
		`{"id":"D-a","rev":"%s:3|other:1","gen":4,"trans_id":"%s"},`+"\r\n"+
		"\r\n]\r\n", s.trans(4), s.trans(1), device, s.trans(4)))

	// 5. The client's generation after the pull.
	a = s.do("PUT", path, `{"generation": 11, "transaction_id": "T-11"}`)
	s.want("step 5", a, 200, `{"ok":true}`)
	a = s.do("GET", path, nil)
	if want := `"source_replica_generation":11,"source_transaction_id":"T-11"}`; !strings.HasSuffix(a.body, want) {
		t.Errorf("after step 5: %s", a.body)
	}

	// 2. Nothing new: a pull from where we are is empty.
	a = s.do("POST", path, "[\r\n"+syncHead(4, s.trans(4), "52", true)+"\r\n]", getType)
	s.want("nothing new", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":4,"new_transaction_id":"%s","number_of_changes":0,"replica_uid":"%s"}`+"\r\n]\r\n", s.trans(4), replica))
}

// TestPlainSequence is the plain u1db stream: both directions in one request.
func TestPlainSequence(t *testing.T) {
	s := start(t, nil)
	s.seed(u1db.Document{ID: "D-old", Rev: "other:1", Content: `{"k":"\"\\"}`}, u1db.Document{ID: "D-gone", Rev: "other:1"})
	a := s.do("POST", path, strings.NewReader("[\r\n"+
		`{"last_known_generation": 0, "last_known_trans_id": "", "ensure": true},`+"\r\n"+
		`{"id":"D-a","rev":"`+device+`:1","content":"{\"a\":1}","gen":1,"trans_id":"T-1"},`+"\r\n"+
		`{"id":"D-b","rev":"`+device+`:1","content":null,"gen":2,"trans_id":"T-2"}`+"\r\n"+
		"]"), plainType)
	replica, _, _ := s.state()
	s.want("exchange", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":4,"new_transaction_id":"%s","number_of_changes":2,"replica_uid":"%s"},`+"\r\n"+
		`{"id":"D-old","rev":"other:1","content":"{\"k\":\"\\\"\\\\\"}","gen":1,"trans_id":"%s"},`+"\r\n"+
		`{"id":"D-gone","rev":"other:1","content":null,"gen":2,"trans_id":"%s"}`+"\r\n]\r\n", s.trans(4), replica, s.trans(1), s.trans(2)))
	if got := a.header.Get("Content-Type"); got != u1db.PlainStream {
		t.Errorf("it is %q", got)
	}
	a = s.do("POST", path, "[\r\n"+`{"last_known_generation": 4, "last_known_trans_id": "`+s.trans(4)+`"}`+"\r\n]", plainType)
	s.want("nothing new", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":4,"new_transaction_id":"%s","number_of_changes":0}`+"\r\n]\r\n", s.trans(4)))
}

// TestNewestFirst: the newest change comes first, with its own generation.
func TestNewestFirst(t *testing.T) {
	s := start(t, nil)
	s.seed(u1db.Document{ID: "D-1", Rev: "o:1"}, u1db.Document{ID: "D-2", Rev: "o:1"}, u1db.Document{ID: "D-1", Rev: "o:2"})
	get := `[` + "\r\n" + `{"last_known_generation": 0, "last_known_trans_id": "", "sync_id": "5", "ensure": false, "newest_first": true}` + "\r\n]"
	want := fmt.Sprintf("[\r\n"+`{"new_generation":3,"new_transaction_id":"%s","number_of_changes":2},`+"\r\n"+
		`{"id":"D-1","rev":"o:2","gen":3,"trans_id":"%s"},`+"\r\n"+"\r\n", s.trans(3), s.trans(3))
	if a := s.do("POST", path, get, getType); !strings.HasPrefix(a.body, strings.TrimSuffix(want, "\r\n")) {
		t.Errorf("got %q\nwant %q…", a.body, want)
	}
	// An answer that cannot hold all changes has the oldest, in order.
	s.srv.SetMaxChanges(1)
	a := s.do("POST", path, get, getType)
	s.want("first part", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":2,"new_transaction_id":"%s","number_of_changes":1},`+"\r\n"+
		`{"id":"D-2","rev":"o:1","gen":2,"trans_id":"%s"},`+"\r\n\r\n]\r\n", s.trans(2), s.trans(2)))
	a = s.do("POST", path, "[\r\n"+syncHead(2, s.trans(2), "5", false)+"\r\n]", getType)
	s.want("second part", a, 200, fmt.Sprintf("[\r\n"+`{"new_generation":3,"new_transaction_id":"%s","number_of_changes":1},`+"\r\n"+
		`{"id":"D-1","rev":"o:2","gen":3,"trans_id":"%s"},`+"\r\n\r\n]\r\n", s.trans(3), s.trans(3)))
}

// TestStartChecks: what a source knows of us is checked before anything else.
func TestStartChecks(t *testing.T) {
	s := start(t, nil)
	s.seed(u1db.Document{ID: "D-1", Rev: "o:1"}, u1db.Document{ID: "D-2", Rev: "o:1"})
	replica, _, _ := s.state()
	bobAuth := header("Authorization: " + authorization(bob, "bob-token"))
	bobPath := "/user-" + bob + "/sync-from/" + device
	for _, tt := range []struct {
		name, path, head string
		status           int
		words            string
		auth             header
	}{
		{"ahead", path, syncHead(3, "T-3", "5", false), 409, "invalid generation", ""},
		{"another history", path, syncHead(2, "T-2", "5", false), 409, "invalid transaction id", ""},
		{"another history, earlier", path, syncHead(1, s.trans(2), "5", false), 409, "invalid transaction id", ""},
		{"ourselves", "/user-" + alice + "/sync-from/" + replica, syncHead(0, "", "5", false), 409, "invalid replica uid", ""},
		{"no header", path, "", 400, "bad request", ""},
		{"negative", path, syncHead(-1, "", "5", false), 400, "bad request", ""},
		{"no database", bobPath, syncHead(0, "", "5", false), 404, "database does not exist", bobAuth},
		{"ensure", bobPath, syncHead(0, "", "5", true), 401, "unauthorized", bobAuth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := []header{""}
			if tt.auth != "" {
				headers = append(headers, tt.auth)
			}
			for kind, body := range map[header]string{
				getType:   "[\r\n" + tt.head + "\r\n]",
				putType:   "[\r\n" + tt.head + "\r\n]",
				plainType: "[\r\n" + tt.head + "\r\n]",
			} {
				headers[0] = kind
				s.want(string(kind), s.do("POST", tt.path, body, headers...), tt.status, `{"error":"`+tt.words+`"}`)
			}
		})
	}
	s.want("another type", s.do("POST", path, "[]", "Content-Type: application/json"), 400, `{"error":"bad request"}`)
	s.want("step 1 without database", s.do("GET", bobPath, nil, bobAuth), 404, `{"error":"database does not exist"}`)
}

// TestEnsure: where the configuration allows it, a sync creates the database.
func TestEnsure(t *testing.T) {
	s := start(t, func(c *soledad.Config, _ *soledad.Stores) { c.EnsureCreates = true })
	auth := header("Authorization: " + authorization(bob, "bob-token"))
	a := s.do("POST", "/user-"+bob+"/sync-from/"+device, "[\r\n"+syncHead(0, "", "5", true)+"\r\n]", getType, auth)
	replica, _, _, err := s.mem.Open(bob).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.want("ensure", a, 200, "[\r\n"+`{"new_generation":0,"new_transaction_id":"","number_of_changes":0,"replica_uid":"`+replica+`"}`+"\r\n]\r\n")
}
