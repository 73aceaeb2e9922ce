package cluster

import (
	"context"
	"crypto/ecdh"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"leap.example/image/deploy"
	"leap.example/image/provider"
	"leap.example/tests/lab"
	"leap.example/tests/play"
)

// The lab's elections wait for slow machines; its gates do not watch for long, and
// its relay soon tries again what a database without a leader could not take.
const (
	domain = "demo.example"
	common = `{
	"time": {"servers": ["0.pool.ntp.org"]},
	"gate": {"ready": "12m", "watch": "2s"},
	"couchdb": {"shards": 2, "heartbeat": "5s"},
	"relay": {"retry": ["5s", "10s", "30s"]},
	"dns": {"resolver": {"upstreams": ["10.77.0.1:53"], "dnssec": "off"}},
}`
	member   = "monitor" // This process, in the mesh.
	memberIP = "10.77.0.9"
	memory   = 384 // MiB of each node.
)

var (
	databases = []string{"db1", "db2", "db3"}
	all       = []string{"db1", "db2", "db3", "mail", "web"}
	addresses = map[string]string{"db1": "10.77.0.11", "db2": "10.77.0.12", "db3": "10.77.0.13", "mail": "10.77.0.14", "web": "10.77.0.15"}
	services  = map[string]string{
		"db1": "services:couchdb,soledad", "db2": "services:couchdb,soledad", "db3": "services:couchdb,soledad",
		"mail": "services:mx,dns", "web": "services:webapp",
	}
)

// newFive makes a provider of five nodes, of which none is on. Each of them asks
// for its address, as nodes do of which no more is said.
// change changes what is asked of the lab. Nil: nothing.
func newFive(t testing.TB, change func(*lab.Options)) (*lab.Lab, *ecdh.PrivateKey) {
	t.Helper()
	if !*qemu {
		t.Skip("machines are booted with -qemu only")
	}
	dir := t.TempDir()
	op := lab.NewOperator(t, dir, provider.Answers{
		Domain: domain, Name: "Demonstration", Contact: "postmaster@" + domain, Enrollment: "invite", Operator: "alice",
	}, common)
	for _, name := range all {
		op.AddNode(name, services[name], "ip_address:"+addresses[name])
	}
	key := op.Join(member, netip.MustParseAddr(memberIP))
	o := lab.Options{
		Memory: map[string]int{"": memory}, Artefacts: *artefacts, Without: []string{member},
		Names: map[string][]netip.Addr{"outside.example": nil, "_dmarc.outside.example": nil}, // Where strangers are.
	}
	if change != nil {
		change(&o)
	}
	return lab.New(t, dir, op, o), key
}

// born boots the nodes and gives them their first documents.
func born(t testing.TB, l *lab.Lab) {
	t.Helper()
	l.Step("five nodes are born: their agents answer", func() { check(t, l.Start(t.Context())) })
	l.Step("the operator meets them", l.Meet)
	l.Step("the first documents are good", func() { deployed(t, l, deploy.Good, all...) })
	l.Step("all services are healthy", func() {
		for _, name := range all {
			s := l.Healthy(name)
			t.Logf("           %s uses %d of %d MB of memory", name, (s.Memory.Size-s.Memory.Available)>>20, s.Memory.Size>>20)
		}
	})
}

// deployed gives nodes what the instance says.
func deployed(t testing.TB, l *lab.Lab, want string, names ...string) {
	t.Helper()
	for _, r := range l.Op.Deploy(names...) {
		if r.Outcome != want {
			t.Fatalf("%+v", r)
		}
	}
}

// makeInvite puts an invite code into the database.
func makeInvite(t *testing.T, l *lab.Lab, db play.Database) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"type": "InviteCode", "invite_code": invite, "invite_count": 0, "max_uses": 20, "created_at": time.Now().UTC()})
	check(t, err)
	l.Until("there is an invite code", func(ctx context.Context) error {
		var answer struct{ OK bool }
		return ask(ctx, db, 0, http.MethodPut, "/invite_codes/"+invite, string(text), &answer)
	})
}

// publicPorts are what all nodes say to everybody, in the words of wire.
func publicPorts(l *lab.Lab) map[string]bool {
	ports := map[string]bool{meshPort: true}
	targets, _ := l.Op.Targets(all...)
	for _, target := range targets {
		ports[fmt.Sprintf("tcp/%d", target.Document.Agent.Port)] = true
		for _, s := range target.Document.Services {
			for _, p := range s.Listeners {
				if p.From == "public" {
					ports[fmt.Sprintf("%s/%d", p.Protocol, p.Port)] = true
				}
			}
		}
	}
	return ports
}

// TestLife is one story: each step begins where the one before ended.
func TestLife(t *testing.T) {
	pcap := filepath.Join(t.TempDir(), "pcap")
	var allowed map[string]bool
	t.Cleanup(func() { // When all is written.
		if allowed != nil {
			wired(t, pcap, allowed)
		}
	})
	l, key := newFive(t, func(o *lab.Options) { o.CaptureFile = pcap })
	born(t, l)
	allowed = publicPorts(l)
	db := newDatabase(t, l, l.Connect(member, key))
	makeInvite(t, l, db)
	s := newStory(t, l, db)
	live(t, l, s.Begin(), map[string]func(){
		"alice sends bob a mail with an attachment": func() { powerless(t, l, "db2") },
		"bob's second device has the account":       func() { powered(t, l, db, "db2") },
		"bob's flag and archive move appear on it":  func() { parted(l, "db3") },
		"alice changes her password":                func() { led(t, l, s, db, "db3") },
		"the provider holds no word of it":          func() { healed(t, l, db, "db3") },
	})
	operate(t, l, s)
	live(t, l, append(s.Again(), s.Leave()...), nil)
	l.Step("all nodes are healthy at the end", func() { healthyAll(t, l) })
	l.Step("what leap test looks at is good", func() { tested(t, l) })
	l.Step("no word is on a disk but one that was put there", func() {
		for _, n := range l.Nodes() {
			check(t, n.PowerCut(t.Context()))
		}
		f := play.NewFinder(append(s.Secrets(), canary))
		disks(t, l, f)
		planted(t, f)
	})
}
