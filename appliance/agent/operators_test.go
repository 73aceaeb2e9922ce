package agent_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
)

// TestRemoved: once a document names the operators, a certificate alone lets nobody
// in any more, and the document says what each may do.
func TestRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hour := time.Now().Add(time.Hour)
	operator := func(role string) *tls.Certificate { return w.operators.operator(t, role, hour) }
	stays, gone, lower := w.deployer(), operator(node.RoleDeploy), operator(node.RoleDeploy)
	asks := func(who *tls.Certificate, method, path, want string) {
		t.Helper()
		resp, err := w.ask(who, method, path, []string{})
		check(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		check(t, err)
		if got := resp.Status + " " + string(text); !strings.HasPrefix(resp.Status, want[:3]) || !strings.Contains(got, want[3:]) {
			t.Errorf("%s %s: %s, want %s", method, path, got, want)
		}
	}
	asks(gone, http.MethodGet, node.PathStatus, "200")
	d := w.document(1, nil)
	d.Agent.Operators = map[string]string{node.KeyFingerprint(stays.Leaf): node.RoleDeploy, node.KeyFingerprint(lower.Leaf): node.RoleRead}
	if verdict, said, err := w.apply(w.bundle(d, nil)); err != nil || verdict.State != node.StateBad {
		t.Errorf("nobody whom it names has come, and it is %+v, %v: %v", verdict, err, said)
	}
	asks(gone, http.MethodGet, node.PathStatus, "200")
	leave := w.there(stays)
	d.Generation = 2
	w.good(d, nil)
	leave()
	asks(stays, http.MethodGet, node.PathStatus, "200")
	asks(gone, http.MethodGet, node.PathStatus, "403 knows no operator with the key")
	asks(gone, http.MethodPost, node.PathApply, "403 knows no operator with the key")
	asks(lower, http.MethodGet, node.PathStatus, "200")
	asks(lower, http.MethodPost, node.PathApply, "403 has the role")
}
