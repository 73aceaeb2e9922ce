package check_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"leap.example/image/check"
	"leap.example/image/compile"
	"leap.example/services/protocol/u1db"
)

// TestAccount uses an account: its database, somebody else's, and mail to it.
func TestAccount(t *testing.T) {
	w := newWorld(t, ",soledad,mx")
	const id, token = "0123456789abcdef0123456789abcdef", "secret"
	proof := "Token " + base64.StdEncoding.EncodeToString([]byte(id+":"+token))
	var mails atomic.Int64
	var asked atomic.Int64
	var open, lost atomic.Bool // Everybody's database is open to everybody; mail that is taken does not arrive.
	w.ports[compile.PortSoledad] = w.https(w.certificate(), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != proof:
			rw.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/user-"+id+"/incoming" && !open.Load():
			rw.WriteHeader(http.StatusForbidden)
		case asked.Add(1) == 1: // The database is not there yet.
			rw.WriteHeader(http.StatusServiceUnavailable)
		default:
			_ = json.NewEncoder(rw).Encode(make([]u1db.QueueEntry, mails.Load())) // The client has gone.
		}
	}))
	mailServer := func(rcpt string) func(net.Conn) {
		serve := w.script("220 web1.demo.example ready", map[string]string{"RCPT": rcpt, "DATA": "354 go on"})
		return func(conn net.Conn) {
			if serve(conn); !lost.Load() {
				mails.Add(1)
			}
		}
	}
	use := func() map[string]check.Result {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		found := map[string]check.Result{}
		for _, r := range check.Use(ctx, []check.Target{{Node: w.i.Node("web1"), Dial: w.dial}}, check.Options{Instance: w.i, Now: w.now}, id, token) {
			found[r.Check] = r
		}
		return found
	}
	w.ports[compile.PortMX] = mailServer("250 ok")
	w.want(use(), map[string]string{"account.soledad": "ok", "account.mail": "ok"})
	w.ports[compile.PortMX] = mailServer("550 no such user")
	w.want(use(), map[string]string{"account.soledad": "ok", "account.mail": "no such user"})
	w.ports[compile.PortMX] = mailServer("451 later")
	w.want(use(), map[string]string{"account.mail": "warn it puts mail for an account off: 451 "})
	w.ports[compile.PortMX] = mailServer("250 ok")
	lost.Store(true)
	w.want(use(), map[string]string{"account.mail": "is not in the account's database"})
	open.Store(true)
	w.want(use(), map[string]string{"account.soledad": "somebody else's database answers it with status 200"})
	delete(w.ports, compile.PortSoledad)
	if r := use()["account.soledad"]; !strings.Contains(r.Text, "refused") {
		t.Errorf("without soledad: %+v", r)
	}
}
