package webapp_test

import (
	"testing"
	"time"

	"leap.example/services/protocol/record"
	"leap.example/services/webapp"
	"leap.example/services/webapp/storetest"
)

const (
	notLoggedIn   = `{"error":"not_authorized_login","message":"Please log in to perform that action."}`
	notAuthorized = `{"error":"not_authorized","message":"Sorry, but you are not authorized to perform that action."}`
	notFound      = `{"error":"not_found","message":"Not found."}`
	noUser        = `{"error":"not_found","message":"No such user."}`
)

func TestMemory(t *testing.T) {
	storetest.Test(t, func(*testing.T) webapp.Stores {
		m := storetest.NewMemory()
		m.AddInvite("once-only", 1)
		return m.Stores()
	})
}

// TestCalls is the endpoint table of leap-protocols.md 1.6, who may call what,
// and the errors of 1.5. Sign-up, login, keys and certificates have tests of
// their own.
func TestCalls(t *testing.T) {
	w := newWorld(t)
	alice := w.addUser(0xa11ce, "alice", nil)
	alan := w.addUser(0xa1a, "alan", nil)
	bob := w.addUser(0xb0b, "bob", func(u *record.User) { u.Enabled = false })
	boss := w.addUser(0xb055, "boss", nil)
	tester := w.addUser(0x7e57, "test_user1", nil)
	w.stores.AddMessage(record.Message{ID: "7", Locale: "en", Text: "<p>hi</p>"})
	w.stores.AddMessage(record.Message{ID: "8", Locale: "de", Text: "<p>hallo</p>"})
	w.stores.AddMessage(record.Message{ID: "9", Locale: "en", Text: "x", UserIDs: []string{boss.ID}})
	entry := record.Certificate{ID: "c", Key: "KEY\n", Cert: "CERT\n", ValidUntil: time.Now().Add(time.Hour)}
	w.stores.AddCertificate(record.Certificate{ID: "old", Key: "OLD", ValidUntil: time.Now()})
	w.stores.AddCertificate(entry)
	w.start()
	c := w.client()
	for _, tt := range []struct {
		method, path, token string
		status              int
		body                string
	}{
		{"GET", "/1/users/" + alice.ID, "", 401, notLoggedIn},
		{"GET", "/1/users/" + alice.ID, "alice-token", 403, notAuthorized},
		{"GET", "/1/users/" + alice.ID, "boss-token", 200, `{"login":"alice","ok":true,"id":"` + alice.ID + `","enabled":true}`},
		{"GET", "/1/users/" + boss.ID + ".json", "boss-token", 200, `{"login":"boss","ok":true,"id":"` + boss.ID + `","enabled":true,"is_admin":true}`},
		{"GET", "/1/users/0.json?login=bob", "boss-token", 200, `{"login":"bob","ok":true,"id":"` + bob.ID + `","enabled":false}`},
		{"GET", "/1/users/0.json?login=test_user1", monitorToken, 200, `{"login":"test_user1","ok":true,"id":"` + tester.ID + `","enabled":true}`},
		{"GET", "/1/users/0.json?login=alice", monitorToken, 403, notAuthorized},
		{"GET", "/1/users/0?login=nobody1", "boss-token", 404, noUser},
		{"GET", "/1/users/ffff", "boss-token", 404, noUser},
		{"GET", "/1/users?query=al", "boss-token", 200, `["alan","alice"]`},
		{"GET", "/1/users?query=zz", "boss-token", 200, `[]`},
		{"GET", "/1/users", "boss-token", 422, `{"error":"query required"}`},
		{"GET", "/1/users?query=al", "alice-token", 403, notAuthorized},
		{"GET", "/1/users?query=al", monitorToken, 403, notAuthorized},
		{"PUT", "/1/users/" + alan.ID, "alice-token", 403, notAuthorized},
		{"PUT", "/1/users/ffff", "alice-token", 403, notAuthorized},
		{"PUT", "/1/users/" + alice.ID, "", 401, notLoggedIn},
		{"PUT", "/1/users/" + alice.ID, "forged", 401, notLoggedIn},
		{"PUT", "/1/users/" + alice.ID, monitorToken, 403, notAuthorized},
		{"DELETE", "/1/users/" + alan.ID, "alice-token", 403, notAuthorized},
		{"DELETE", "/1/users/" + alice.ID, "", 401, notLoggedIn},
		{"DELETE", "/1/users/" + alice.ID, monitorToken, 403, notAuthorized},
		{"DELETE", "/1/users/ffff", "boss-token", 404, noUser},
		{"DELETE", "/1/logout", "", 401, notLoggedIn},
		{"POST", "/1/cert", "", 401, notLoggedIn},
		{"POST", "/1/cert", "bob-token", 403, notAuthorized},
		{"POST", "/1/cert", "alice-token", 200, "KEY\nCERT"},
		{"GET", "/1/cert", "alice-token", 503, `{"error":"unavailable","message":"no certificate in the pool"}`},
		{"POST", "/1/smtp_cert", "", 401, notLoggedIn},
		{"POST", "/1/smtp_cert", "bob-token", 403, notAuthorized},
		{"GET", "/1/service", "", 200, `{"name":"anonymous","description":"anonymous access to the VPN","eip_rate_limit":false}`},
		{"GET", "/1/service", "alice-token", 200, `{"name":"free","description":"Please donate.","eip_rate_limit":true,"storage":100,"services":["eip","email"]}`},
		{"GET", "/1/service", "forged", 401, notLoggedIn},
		{"GET", "/1/messages", "", 401, notLoggedIn},
		{"GET", "/1/messages?locale=en", "alice-token", 200, `[{"id":"7","locale":"en","text":"<p>hi</p>"}]`},
		{"GET", "/1/messages?locale=de", "alice-token", 200, `[{"id":"8","locale":"de","text":"<p>hallo</p>"}]`},
		{"GET", "/1/messages?locale=fr", "alice-token", 200, `[{"id":"7","locale":"en","text":"<p>hi</p>"}]`},
		{"GET", "/1/identities/alice@example.org", "alice-token", 403, notAuthorized},
		{"GET", "/1/identities/alice@example.org", monitorToken, 403, notAuthorized},
		{"GET", "/1/identities/nobody1@example.org", "boss-token", 404, `{"error":"not_found","message":"No such address."}`},
		{"GET", "/1/identities/nonsense", "boss-token", 404, `{"error":"not_found","message":"No such address."}`},
		{"GET", "/1/identities/alice@example.org.json", "boss-token", 200, `{"_id":"alice:example.org","type":"Identity","user_id":"` + alice.ID + `",…`},
		{"GET", "/2/keys", "", 401, notLoggedIn},
		{"GET", "/1/keys", "alice-token", 404, notFound},
		{"GET", "/keys.json", "alice-token", 200, `{}`},
		{"GET", "/1/tokens", "alice-token", 404, notFound},
		{"GET", "/3/users", "boss-token", 404, notFound},
		{"PATCH", "/1/users", "boss-token", 404, notFound},
		{"GET", "/1/nothing.json", "", 404, notFound},
	} {
		t.Run(tt.method+" "+tt.path+" "+tt.token, func(t *testing.T) {
			w.t = t
			w.wantCall(c, call{method: tt.method, url: w.api + tt.path, token: tt.token}, tt.status, tt.body)
		})
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t).start()
	for _, url := range []string{w.api + "/1/service", w.web + "/"} {
		resp, _ := w.do(w.client(), call{method: "GET", url: url})
		for name, want := range map[string]string{
			"Cache-Control":             "no-cache, no-store, must-revalidate",
			"X-Frame-Options":           "DENY",
			"X-Content-Type-Options":    "nosniff",
			"Content-Language":          "en",
			"Strict-Transport-Security": "max-age=31536000",
			"Referrer-Policy":           "no-referrer",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", url, name, got, want)
			}
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s: %s, want HTTP/2", url, resp.Proto)
		}
	}
}

func TestTokenForms(t *testing.T) {
	w := newWorld(t)
	w.addUser(1, "alice", nil)
	w.start()
	for header, status := range map[string]int{
		`Token token="alice-token"`: 200,
		`Token token=alice-token`:   200,
		`token token="alice-token"`: 200,
		`Bearer alice-token`:        401,
		`Token token="alice-token`:  401,
		`Token token=`:              401,
	} {
		resp, _ := w.do(w.client(), call{method: "GET", url: w.api + "/1/service", header: map[string]string{"Authorization": header}})
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", header, resp.StatusCode, status)
		}
	}
}
