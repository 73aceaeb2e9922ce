package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/deploy/deploytest"
	"leap.example/image/provider"
	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/problem"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"leap": main})
}

// TestScripts runs the command as operators do. "agents DIR" starts an agent for
// each node of an instance that has none yet; "judge NODE REASON" has one find
// documents bad, or good again.
func TestScripts(t *testing.T) {
	var network atomic.Int64
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// Each script has addresses of its own, and a port that is free.
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer ln.Close()
			_, port, err := net.SplitHostPort(ln.Addr().String())
			if err != nil {
				return err
			}
			env.Setenv("HOME", env.WorkDir)
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY"} { // HOME is another one.
				value, err := exec.Command("go", "env", name).Output()
				if err != nil {
					return err
				}
				env.Setenv(name, strings.TrimSpace(string(value)))
			}
			env.Setenv("NET", "127.77."+strconv.FormatInt(network.Add(1), 10))
			env.Setenv("PORT", port)
			env.Values[vendorKey{}] = new(*vendor)
			env.Values[agentsKey{}] = map[string]*deploytest.Agent{}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			path, ok := strings.CutPrefix(cond, "exists:")
			if !ok {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat(path)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"agents": startAgents, "judge": judge, "standin": standin, "vendor": vendors(t)},
	})
}

type agentsKey struct{}

func agents(ts *testscript.TestScript) map[string]*deploytest.Agent {
	return ts.Value(agentsKey{}).(map[string]*deploytest.Agent)
}

func startAgents(ts *testscript.TestScript, _ bool, args []string) {
	i, err := provider.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	op, err := provider.ReadOperator(filepath.Join(ts.Getenv("HOME"), ".config", "leap", i.Domain("")+".json"))
	ts.Check(err)
	v, err := i.Unlock(op)
	ts.Check(err)
	secrets, err := v.All()
	ts.Check(err)
	for k, n := range i.Nodes {
		if agents(ts)[n.Name] != nil {
			continue
		}
		id, err := compile.Identity(i, n, secrets)
		ts.Check(err)
		a := &deploytest.Agent{Identity: id, MeshKey: fmt.Sprintf("%s%cE=", strings.Repeat("A", 41), 'A'+rune(k)), Lines: []node.LogLine{{Service: "mx", Text: "a line of " + n.Name}}}
		a.Checks = []node.Check{{Name: "mesh", State: node.CheckWarn, Text: "another node is slow"}}
		a.Task = invite
		if n.Updates.Mirror != nil {
			a.Mirror = copies(ts, i.Dir, n.Name)
		}
		ts.Check(a.Start(net.JoinHostPort(n.IPAddress.String(), strconv.Itoa(int(id.Agent.Port)))))
		ts.Defer(func() { ts.Check(a.Close()) })
		agents(ts)[n.Name] = a
	}
}

// invite is the task of webapp.
func invite(service, task string, request []byte) (any, error) {
	var r bonafide.InviteRequest
	if err := json.Unmarshal(request, &r); err != nil || service+"/"+task != "webapp/invite" {
		return nil, problem.NotExist.Errorf("no such task, or no request: %w", err)
	}
	return bonafide.Invites{Codes: slices.Repeat([]string{"abcd-efgh"}, r.Count), Expires: time.Now().AddDate(0, 0, r.Days)}, nil
}

func judge(ts *testscript.TestScript, _ bool, args []string) {
	reason := strings.Join(args[1:], " ")
	agents(ts)[args[0]].Judge(func(node.Document) string { return reason })
}

// standin writes a source of leap with a small leapd into a directory.
func standin(ts *testscript.TestScript, _ bool, args []string) {
	const kernel = "github.com/gokrazy/kernel.amd64 "
	mod, err := os.ReadFile("../../../go.mod")
	ts.Check(err)
	_, version, ok := strings.Cut(string(mod), kernel)
	if !ok {
		ts.Fatalf("go.mod names no kernel")
	}
	version, _, _ = strings.Cut(version, "\n")
	sums, err := os.ReadFile("../../../go.sum")
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "appliance", "cmd", "leapd"), 0o700))
	for name, text := range map[string]string{
		"go.mod": "module leap.example\n\ngo 1.26.0\n\nrequire " + kernel + version + "\n", "go.sum": string(sums),
		"appliance/cmd/leapd/main.go": "package main\n\nfunc main() {}\n",
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// TestHelp: every command has a short help, and no two the same flag.
func TestHelp(t *testing.T) {
	for _, line := range []string{
		"", "new", "user", "user add", "user rm", "user ls", "user rekey", "user request", "cert", "cert ca", "cert update", "secret", "secret ls", "secret show", "secret set", "node", "node add",
		"node identity", "node init", "node rm", "node mv", "node enable", "node disable", "compile", "compile all", "compile hosts", "compile zone",
		"compile firewall", "compile provider.json", "deploy", "update", "update allow", "update hold", "update status", "update push", "update mirror",
		"update bundle", "update bundle export", "update bundle import", "update director", "update director init", "update director key", "update director status",
		"update director sign", "update director admins", "update director online", "update director renew", "update director timestamp", "inspect", "list", "info", "env", "env ls", "env pin", "env unpin", "history", "logs", "status", "schema", "provider", "image", "image build", "image tree", "image ls", "flash",
		"test", "run", "run invite", "run restart", "reboot", "local", "local start", "local stop", "local ls", "local console", "local rm", "local reset",
	} {
		var out, errs strings.Builder
		a := &app{in: os.Stdin, out: &out, errs: &errs, now: time.Now}
		if status := a.execute(t.Context(), append(strings.Fields(line), "--help")); status != 0 || out.Len() < 60 || errs.Len() > 0 {
			t.Errorf("leap %s --help: status %d: %s%s", line, status, out.String(), errs.String())
		}
	}
}

// TestRenewal compiles the same instance years later: what ends soon is made anew,
// and is in the documents.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	demo := filepath.Join(dir, "demo")
	begin := time.Now()
	leap := func(when time.Time, line ...string) string {
		t.Helper()
		var out, errs strings.Builder
		a := &app{in: os.Stdin, out: &out, errs: &errs, keys: filepath.Join(dir, "keys"), now: func() time.Time { return when }}
		if status := a.execute(t.Context(), line); status == exitFailed {
			t.Fatalf("leap %q: %s%s", line, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	certificate := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(demo, "compiled", "web1.json"))
		var d node.Document
		if err == nil {
			err = json.Unmarshal(text, &d)
		}
		if err != nil || d.Agent.Certificate == "" {
			t.Fatalf("the document has no certificate: %v", err)
		}
		return d.Agent.Certificate
	}
	leap(begin, "new", demo, "--domain", "demo.example", "--operator", "alice", "--yes")
	leap(begin, "-C", demo, "node", "add", "web1", "services:couchdb,soledad,webapp", "ip_address:192.0.2.11")
	leap(begin, "-C", demo, "compile")
	first := certificate()
	for _, then := range []struct {
		when    time.Time
		makes   []string
		renewed bool // The agent's.
	}{
		{begin.AddDate(0, 9, 0), nil, false},
		{begin.AddDate(0, 11, 0), []string{"files/nodes/web1/peer.crt", "files/nodes/web1/server.crt", "users/alice.json"}, false},
		{begin.AddDate(9, 1, 0), []string{
			"files/ca/client_ca.crt", "files/ca/node_ca.crt", "files/ca/operator_ca.crt", "files/ca/peer_ca.crt",
			"files/nodes/web1/peer.crt", "files/nodes/web1/server.crt", "users/alice.json",
		}, false},
		{begin.AddDate(9, 11, 0), []string{"files/nodes/web1/agent.crt", "files/nodes/web1/server.crt"}, true},
	} {
		said := leap(then.when, "-C", demo, "compile")
		for _, name := range then.makes {
			if !strings.Contains(said, "made "+name+"\n") {
				t.Errorf("on %s it does not make %s: %s", day(then.when), name, said)
			}
		}
		if made := strings.Count(said, "made "); len(then.makes) == 0 && made > 0 || certificate() != first != then.renewed {
			t.Errorf("on %s it says %s, and another certificate of the agent: %v", day(then.when), said, certificate() != first)
		}
	}
}

func TestDifference(t *testing.T) {
	a := node.Document{Schema: 1, Node: "a", Environment: "x"}
	b := a
	b.Environment, b.LeastImage = "", strings.Repeat("1", 100)
	got := difference(a, b)
	if len(got) != 2 || got[0] != `- /environment: "x"` || !strings.HasPrefix(got[1], `+ /least_image: "1111`) || len(got[1]) > 120 {
		t.Errorf("got %q", got)
	}
	if got := difference(a, a); len(got) > 0 {
		t.Errorf("the same: %q", got)
	}
}

func TestAttention(t *testing.T) {
	now := time.Now()
	good := node.Status{Node: "a", Now: now, ClockKnown: true, Certificates: map[string]time.Time{"agent": now.AddDate(0, 2, 0)}, Current: node.Generation{Number: 1, State: node.StateGood}}
	if got := attention(good, now); len(got) > 0 {
		t.Errorf("a good one: %q", got)
	}
	for want, edit := range map[string]func(*node.Status){
		"leap deploy a":                 func(s *node.Status) { s.Current = node.Generation{} },
		"generation 2 is bad: no":       func(s *node.Status) { s.Current = node.Generation{Number: 2, State: node.StateBad, Reason: "no"} },
		"its clock is off by -2m0s":     func(s *node.Status) { s.Now = now.Add(-2 * time.Minute) },
		"does not know what time it is": func(s *node.Status) { s.ClockKnown = false },
		"certificate mx/server.crt ends on " + day(now.AddDate(0, 0, 29)) + ": leap deploy a": func(s *node.Status) {
			s.Certificates = map[string]time.Time{"mx/server.crt": now.AddDate(0, 0, 29)}
		},
		"its disk has 1 of 100 MB free": func(s *node.Status) { s.Disk = node.Disk{Size: 100 << 20, Free: 1 << 20} },
		"mx is not healthy: no database": func(s *node.Status) {
			s.Services = map[string]node.ServiceStatus{"mx": {Running: true, Error: "no database"}}
		},
		"the partition has lost its mind": func(s *node.Status) { s.Trouble = []string{"the partition has lost its mind"} },
	} {
		s := good
		edit(&s)
		if got := attention(s, now); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}
