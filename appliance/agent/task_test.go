package agent_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/services/protocol/problem"
)

// answer is status and body of what an operator is answered.
func (w *world) answer(role, method, path string, body any) string {
	w.t.Helper()
	resp, err := w.ask(w.operators.operator(w.t, role, time.Now().Add(time.Hour)), method, path, body)
	check(w.t, err)
	text, err := io.ReadAll(resp.Body)
	check(w.t, err)
	check(w.t, resp.Body.Close())
	return resp.Status[:4] + string(text)
}

// TestTask has a service do something for an operator.
func TestTask(t *testing.T) {
	w := newWorld(t)
	w.good(w.document(1, map[string]part{"webapp": {}, "mx": {}}), nil)
	ln, err := net.Listen("unix", filepath.Join(w.run, "webapp", "health", "tasks"))
	check(t, err)
	hs := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // A broken connection fails the test by its answer.
		if r.URL.Path != "/invite" {
			rw.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(rw).Encode(problem.Document{Type: problem.Invalid, Detail: "no such task"}) // The same.
			return
		}
		_, _ = rw.Write([]byte(r.Method + " " + string(text))) // The same.
	})}
	done := make(chan bool)
	go func() { defer close(done); _ = hs.Serve(ln) }() // It ends with Close.
	t.Cleanup(func() { check(t, hs.Close()); <-done })

	for _, test := range []struct{ role, path, want string }{
		{node.RoleDeploy, "webapp/invite", `200 POST {"count":3}`},
		{node.RoleDeploy, "webapp/other", `400 {"type":"invalid","detail":"webapp: no such task"}`},
		{node.RoleDeploy, "mx/invite", "503"},
		{node.RoleDeploy, "dns/invite", "404"},
		{node.RoleDeploy, "..%2fmx/invite", "404"},
		{node.RoleRead, "webapp/invite", "403"},
	} {
		if got := w.answer(test.role, http.MethodPost, node.PathTask+test.path, map[string]int{"count": 3}); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s as %s: %q, not %q", test.path, test.role, got, test.want)
		}
	}
}

// TestRestart has operators restart services: one that runs, and one that has
// ended for good.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.good(w.document(1, map[string]part{"mx": {}, "dns": {}}), nil)
	w.sup.end("dns")
	if s := w.status(); s.Services["dns"].Running {
		t.Fatalf("it says %+v", s)
	}
	for _, test := range []struct{ role, service, want string }{
		{node.RoleRead, "mx", "403"},
		{node.RoleDeploy, "webapp", "404"},
		{node.RoleDeploy, "..%2fmx", "404"},
		{node.RoleDeploy, "mx", "204"},
		{node.RoleDeploy, "dns", "204"},
	} {
		if got := w.answer(test.role, http.MethodPost, node.PathRestart+test.service, nil); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s as %s: %q, not %q", test.service, test.role, got, test.want)
		}
	}
	if got := w.sup.started(); !slices.Equal(got, []string{"mx", "dns"}) {
		t.Errorf("started %v", got)
	}
	w.eventually("both work", func(s node.Status) bool { return s.Services["mx"].Healthy && s.Services["dns"].Healthy })
}

// TestDeployStopped deploys what is there already, and expects that to start
// what has ended for good, and nothing else.
func TestDeployStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.document(1, map[string]part{"mx": {}, "dns": {}})
	w.good(d, nil)
	w.sup.end("dns")
	d.Generation = 2
	if got := w.good(d, nil); !slices.Equal(got, []string{"dns"}) || w.status().Current.Number != 1 {
		t.Errorf("started %v", got)
	}
}

// TestRestartOnTrial restarts a service while a document is judged.
func TestRestartOnTrial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.document(1, map[string]part{"mx": {Ill: "no queue"}})
	d.Gate.Ready = node.Duration(time.Hour)
	resp, err := w.ask(w.deployer(), http.MethodPost, node.PathApply, w.bundle(d, nil))
	check(t, err)
	defer resp.Body.Close()
	w.eventually("it is on trial", func(s node.Status) bool { return s.Current.State == node.StateTrial })
	if got := w.answer(node.RoleDeploy, http.MethodPost, node.PathRestart+"mx", nil); !strings.HasPrefix(got, "503") {
		t.Errorf("got %q", got)
	}
}

// TestChecks has a node look at itself: one of its peers answers, the other does
// not, and nothing of what listens is what its document says.
func TestChecks(t *testing.T) {
	w := newWorld(t)
	d := w.document(1, map[string]part{"mx": {}})
	mine := os.Getpid() // Others may run this test, too, and agents' port is one.
	at := netip.AddrFrom4([4]byte{127, 78, byte(mine >> 8), byte(mine)})
	peer, err := net.Listen("tcp", netip.AddrPortFrom(at, d.Agent.Port).String())
	check(t, err)
	t.Cleanup(func() { check(t, peer.Close()) })
	d.Mesh = &node.Mesh{Address: netip.MustParsePrefix("127.77.0.1/8"), Port: 51820, Peers: []node.Peer{
		{Name: "db1", PublicKey: strings.Repeat("A", 43) + "=", Address: at, Endpoint: netip.MustParseAddrPort("192.0.2.1:51820")},
		{Name: "db2", PublicKey: strings.Repeat("B", 42) + "A=", Address: netip.MustParseAddr("127.77.0.9"), Endpoint: netip.MustParseAddrPort("192.0.2.2:51820")},
	}}
	w.good(d, nil)
	var got []node.Check
	check(t, json.Unmarshal([]byte(w.answer(node.RoleRead, http.MethodGet, node.PathChecks, nil)[4:]), &got))
	if len(got) != 3 || got[0] != (node.Check{Name: "mesh", State: node.CheckOK, Text: "db1 answers"}) ||
		got[1].State != node.CheckFail || !strings.HasPrefix(got[1].Text, "db2 does not answer: ") || got[2].Name != "listeners" {
		t.Errorf("got %+v", got)
	}
	if k := slices.IndexFunc(got, func(c node.Check) bool {
		return c.State == node.CheckFail && strings.Contains(c.Text, "nothing listens at port")
	}); k < 0 {
		t.Errorf("its agent listens on loopback alone, and nothing is said of it: %+v", got)
	}
}
