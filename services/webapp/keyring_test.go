package webapp_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"leap.example/services/protocol/bonafide"
)

func TestKeyring(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	c := w.client()
	ring := func(method, path, body string) call {
		return call{method: method, url: w.api + "/2/keys" + path, token: "alice-token", body: body}
	}
	entry := func(kind string) bonafide.KeyringEntry {
		t.Helper()
		var e bonafide.KeyringEntry
		resp, body := w.do(c, ring("GET", "/"+kind, ""))
		if err := json.Unmarshal([]byte(body), &e); resp.StatusCode != 200 || err != nil {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return e
	}
	key := url.QueryEscape(pgpKey(t, "alice@example.org", false))

	w.wantCall(c, ring("GET", "/openpgp", ""), 404, `{"error":"no such key: openpgp"}`)
	w.wantCall(c, ring("POST", "", "value=x"), 422, `{"error":"param is missing or the value is empty: type"}`)
	w.wantCall(c, ring("POST", "", "type=katzenpost_id"), 422, `{"error":"param is missing or the value is empty: value"}`)
	w.wantCall(c, ring("POST", "", "type=no/type&value=x"), 422, `{"error":"not a type of key"}`)
	w.wantCall(c, ring("POST", "", "type=openpgp&value=x"), 422, `{"errors":{"public_key_block":["does not look like an armored pgp public key block"]}}`)
	w.wantCall(c, ring("POST", "", "type=openpgp&value="+key), 204, "")
	w.wantCall(c, ring("POST", "", "type=openpgp&value="+key), 422, `{"error":"key already exists"}`)
	w.wantCall(c, ring("POST", "", `{"type":"katzenpost_id","value":"one"}`), 204, "")
	resp, body := w.do(c, ring("GET", "", ""))
	var all map[string]bonafide.KeyringEntry
	if err := json.Unmarshal([]byte(body), &all); err != nil || resp.StatusCode != 200 || len(all) != 2 || all["katzenpost_id"].Value != "one" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}

	rev := entry("katzenpost_id").Rev
	if len(rev) != 12 {
		t.Errorf("revision %q is not base64 of 8 bytes", rev)
	}
	w.wantCall(c, ring("PATCH", "/none", "value=two&rev="+rev), 404, `{"error":"no such key: none"}`)
	w.wantCall(c, ring("PATCH", "/katzenpost_id", "value=two&rev=AAAA"), 422, `{"error":"wrong revision: AAAA"}`)
	w.wantCall(c, ring("PATCH", "/katzenpost_id", "type=katzenpost_id&value=two&rev="+url.QueryEscape(rev)), 204, "")
	if e := entry("katzenpost_id"); e.Value != "two" || e.Rev == rev {
		t.Errorf("after the change: %+v", e)
	}
	w.wantCall(c, ring("DELETE", "/katzenpost_id?rev="+url.QueryEscape(rev), ""), 422, `{"error":"wrong revision: `+rev+`"}`)
	w.wantCall(c, ring("DELETE", "/katzenpost_id", "rev="+url.QueryEscape(entry("katzenpost_id").Rev)), 204, "")
	w.wantCall(c, ring("DELETE", "/openpgp?rev="+url.QueryEscape(entry("openpgp").Rev), ""), 204, "")
	w.wantCall(c, ring("GET", "", ""), 200, `{}`)
	if id := w.identity("alice"); id.Fingerprint != "" {
		t.Errorf("fingerprint %q of a removed key", id.Fingerprint)
	}
	w.wantCall(c, call{method: "POST", url: w.api + "/1/keys", token: "alice-token", body: "type=a&value=b"}, 404, notFound)
}
