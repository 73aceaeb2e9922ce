package webapp_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"leap.example/services/protocol/bonafide"
)

// overSocket asks on a unix socket, whatever the address says.
func overSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

// TestInvite makes invitations as root of the machine does, and uses them.
func TestInvite(t *testing.T) {
	w := newWorld(t)
	w.provider.EnrollmentPolicy = "invite"
	dir, err := os.MkdirTemp("", "tasks") // In a short place, for a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // The system cleans there too.
	w.cfg.TaskSocket = filepath.Join(dir, "tasks")
	if err := os.WriteFile(w.cfg.TaskSocket, nil, 0o600); err != nil { // A process that was killed has left it.
		t.Fatal(err)
	}
	w.start()
	// The network has no tasks; once it is served, the socket is, too.
	w.wantCall(w.client(), call{method: "POST", url: w.api + "/invite", body: `{"count": 1, "uses": 1}`}, 404, `{"error"…`)
	root := overSocket(w.cfg.TaskSocket)

	for body, want := range map[string]string{
		`{"count": 0, "uses": 1}`:               `{"type":"invalid",…`,
		`{"count": 1001, "uses": 1}`:            `{"type":"invalid",…`,
		`{"count": 1, "uses": 0}`:               `{"type":"invalid",…`,
		`{"count": 1, "uses": 1, "days": -1}`:   `{"type":"invalid",…`,
		`{"count": 1, "uses": 1, "days": 4000}`: `{"type":"invalid",…`,
		`{`:                                     `{"type":"invalid",…`,
	} {
		w.wantCall(root, call{method: "POST", url: "http://webapp/invite", body: body}, 400, want)
	}
	w.wantCall(root, call{method: "GET", url: "http://webapp/invite"}, 405, "Method Not Allowed")

	var made bonafide.Invites
	_, text := w.do(root, call{method: "POST", url: "http://webapp/invite", body: `{"count": 2, "uses": 1, "days": 3}`})
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made.Codes) != 2 || made.Codes[0] == made.Codes[1] {
		t.Fatalf("got %s, %v", text, err)
	}
	if left := time.Until(made.Expires); left < 71*time.Hour || left > 73*time.Hour {
		t.Errorf("they expire in %v", left)
	}
	for k, code := range made.Codes {
		if !regexp.MustCompile(`^[a-z2-7]{4}-[a-z2-7]{4}$`).MatchString(code) {
			t.Errorf("a code is %q", code)
		}
		name := []string{"bob", "carol"}[k]
		w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, name, "user[invite_code]="+code)}, 201, `{"login":"`+name+`",…`)
	}
	w.wantCall(w.client(), call{method: "POST", url: w.api + "/1/users", body: signupBody(t, "dora", "user[invite_code]="+made.Codes[0])},
		422, `{"errors":{"invite_code":["This code has already been used"]}}`)
}
