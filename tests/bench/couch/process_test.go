package couch_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"leap.example/services/bigcouch"
	"leap.example/services/bigcouch/peertest"
	"leap.example/tests/couchfaults/lab"
	"leap.example/tests/stage"
)

const password = "correct horse battery staple"

// A process is one node: leapd with its files, as a process of its own.
type process struct {
	tb     testing.TB
	name   string
	dir    string // Of all its files.
	cfg    bigcouch.Config
	cmd    *exec.Cmd
	starts int
	*client
}

// newProcess makes the files of a node. It does not start it.
func newProcess(tb testing.TB, name string, port int, seal bool) *process {
	tb.Helper()
	p := &process{tb: tb, name: name, dir: tb.TempDir()}
	p.cfg = bigcouch.Config{
		Listen: fmt.Sprintf("127.0.0.1:%d", port), Dir: filepath.Join(p.dir, "db"),
		Accounts: []bigcouch.ConfigAccount{{Name: "admin", PasswordFile: p.file("password", password), Admin: true}},
	}
	if seal {
		p.cfg.KeyFiles = []string{p.file("key", fmt.Sprintf("%064x", 1))}
	}
	p.client = newClient(tb, "http://"+p.cfg.Listen, true)
	tb.Cleanup(p.stop)
	return p
}

// file writes a file of the node and returns its path.
func (p *process) file(name, text string) string {
	p.tb.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.tb.Fatal(err)
	}
	return path
}

// start starts the node and returns how long it took until it served.
func (p *process) start() time.Duration {
	p.tb.Helper()
	begun := p.launch()
	p.ready()
	return time.Since(begun)
}

// launch starts the process, and does not wait for it to serve.
func (p *process) launch() (begun time.Time) {
	p.tb.Helper()
	config, err := json.Marshal(map[string]any{"daemon": struct{}{}, "bigcouch": p.cfg})
	if err != nil {
		p.tb.Fatal(err)
	}
	p.cmd = exec.Command(*leapd, "run", "bigcouch", "--config", p.file("config.json", string(config)))
	p.starts++
	p.cmd.Env = []string{}
	if *profiles != "" {
		p.cmd.Env = append(p.cmd.Env, "LEAP_BENCH_PROFILE="+filepath.Join(*profiles, fmt.Sprintf("%s-%d", p.name, p.starts)))
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begun = time.Now()
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	return begun
}

// ready waits until the node answers.
func (p *process) ready() {
	p.tb.Helper()
	if err := lab.Poll(ctx, p.name+" serves", 2*time.Minute, func() error { return p.do("GET", "/_up", nil, nil) }); err != nil {
		said, _ := os.ReadFile(filepath.Join(p.dir, "log")) // The error says enough.
		p.tb.Fatalf("%v\n%s", err, said[max(0, len(said)-2000):])
	}
}

// stop asks the process to end, and waits until it has.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.tb.Error(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() }) // It may have ended.
	_ = p.cmd.Wait()                                                         // By the signal, which is no success.
	late.Stop()
	p.cmd = nil
}

// memory returns the megabytes that a process has of the machine's, in a field
// of its status.
func (p *process) memory(field string) float64 {
	p.tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				p.tb.Fatal(err)
			}
			return kib * 1024 / 1e6
		}
	}
	p.tb.Fatalf("no %s in the status of %s", field, p.name)
	return 0
}

// single starts a node by itself.
func single(tb testing.TB, name string, seal bool) *process {
	tb.Helper()
	p := newProcess(tb, name, freePorts(tb), seal)
	p.start()
	return p
}

func freePorts(tb testing.TB) int {
	tb.Helper()
	base, err := stage.FreeBase()
	if err != nil {
		tb.Fatal(err)
	}
	return base
}

// three starts a cluster of three nodes, each of which has all shards.
func three(tb testing.TB) (list []*process) {
	tb.Helper()
	base, ca, dir := freePorts(tb), peertest.New(tb), tb.TempDir()
	var nodes []bigcouch.ConfigNode
	for i, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, bigcouch.ConfigNode{Name: name, Peer: fmt.Sprintf("127.0.0.1:%d", base+10+i)})
	}
	for i, n := range nodes {
		p := newProcess(tb, n.Name, base+i, true)
		c := &bigcouch.ConfigCluster{Node: n.Name, Listen: n.Peer, Nodes: nodes, Placement: bigcouch.ConfigPlacement(nodes, 8, 3)}
		c.CertFile, c.KeyFile, c.CAFile = ca.Files(tb, dir, n.Name)
		p.cfg.Cluster = c
		list = append(list, p)
	}
	for _, p := range list {
		p.launch()
	}
	for _, p := range list {
		p.ready()
	}
	return list
}
