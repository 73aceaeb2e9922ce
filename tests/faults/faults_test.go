package faults

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leap.example/appliance/gpt"
	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/tests/lab"
)

const decade = 10 * 365 * 24 * time.Hour

// TestFaults is one story: each step begins where the one before ended.
func TestFaults(t *testing.T) {
	l := newRig(t)
	lab.Step(t, "ten years behind, with neither DHCP nor time, it is reached and says so", func() {
		l.on(t, -decade)
		s := l.status(t, func(s node.Status) error {
			if !slices.ContainsFunc(s.Trouble, func(text string) bool { return strings.HasPrefix(text, "eth0: no lease yet") }) {
				return fmt.Errorf("it does not say that there is no lease: %v", s.Trouble)
			}
			return nil
		})
		if s.ClockKnown || time.Since(s.Now) < decade-time.Hour {
			t.Errorf("it takes its clock for right: %+v", s)
		}
		l.says(t, "leap: WAITING eth0: no lease yet")
		l.op.set("/mesh/public_key", s.MeshKey)
	})
	lab.Step(t, "a service waits for the time, but not for ever", func() {
		target, o := l.op.target()
		only(&target.Document, "dns", true)
		r, told := push(t, target, o)
		if r.Outcome != deploy.Good || !strings.Contains(told, "waiting for the time\nthe time is not known") {
			t.Fatalf("%+v", r)
		}
	})
	_, err := l.self.ServeNTP(netip.MustParseAddr(labIP))
	check(t, err)
	l.op.set("/time", map[string]any{"servers": []string{labIP}, "wait": "30s"})
	var s node.Status
	lab.Step(t, "with a time server its clock is right, and everything works", func() {
		target, o := l.op.target()
		if r, _ := push(t, target, o); r.Outcome != deploy.Good {
			t.Fatalf("%+v", r)
		}
		s = l.status(t, healthy)
		if off := time.Since(s.Now); !s.ClockKnown || off.Abs() > time.Minute {
			t.Errorf("its clock is off by %v", off)
		}
	})
	lab.Step(t, "what is no document for it is refused", func() { l.refused(t) })
	lab.Step(t, "operators need a certificate that is good for what they do", func() { l.certificates(t) })
	lab.Step(t, "services that are killed are back", func() { l.killed(t) })
	s = l.status(t, healthy)
	lab.Step(t, "a document that cuts its operator off is taken back", func() {
		target, o := l.op.target()
		away(&target.Document, 15*time.Second)
		r, _ := push(t, target, o)
		if r.Outcome != deploy.Bad || r.Error != "no operator has reached the node within 15s of the change of its network" {
			t.Errorf("%+v", r)
		}
		l.same(t, s)
	})
	lab.Step(t, "a full disk changes nothing but that it is full", func() { l.full(t) })
	lab.Step(t, "cut off, and then without power and ten years ahead, it goes back too", func() {
		target, o := l.op.target()
		before := l.status(t, healthy)
		away(&target.Document, 20*time.Second)
		only(&target.Document, "dns", false)
		ctx, cancel := context.WithCancel(t.Context())
		pushed, begun := make(chan deploy.Result), make(chan struct{})
		o.Told = func(string, node.Event) {
			select {
			case begun <- struct{}{}:
			default:
			}
		}
		go func() { pushed <- deploy.Push(ctx, []deploy.Target{target}, o)[0] }()
		<-begun
		l.lost(t)
		l.machine.Cut(t)
		cancel()
		if r := <-pushed; r.Outcome != deploy.Failed {
			t.Errorf("%+v", r)
		}
		l.on(t, decade)
		s := l.status(t, func(s node.Status) error {
			if s.Current != before.Current {
				return fmt.Errorf("its generation is %+v", s.Current)
			}
			return healthy(s)
		})
		if off := time.Since(s.Now); !s.ClockKnown || off.Abs() > time.Minute {
			t.Errorf("its clock is off by %v", off)
		}
		// On a busy machine the service may need longer than the operator has time.
		if s.Bad.Number <= before.Current.Number || !strings.Contains(s.Bad.Reason, "within 20s") {
			t.Errorf("it went back, because %+v", s.Bad)
		}
	})
	lab.Step(t, "with a damaged disk it is reached, says so, and changes nothing on it", func() { l.damaged(t) })
}

// only leaves one service.
func only(d *node.Document, service string, clock bool) {
	s := d.Services[service]
	s.Clock = clock
	d.Services = map[string]node.Service{service: s}
}

// away has the node leave its address.
func away(d *node.Document, within time.Duration) {
	d.Network.Interfaces = slices.Clone(d.Network.Interfaces)
	d.Network.Interfaces[0].Addresses = []netip.Prefix{netip.MustParsePrefix(awayIP + "/24")}
	d.Gate.Ready = node.Duration(within)
}

// lost waits until the node is no longer where it was.
func (l *rig) lost(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		c, err := l.self.DialContext(ctx, "tcp", l.op.address)
		cancel()
		if err != nil {
			return
		}
		check(t, c.Close())
	}
	t.Fatal("it is still reached")
}

// same fails if a service is another process than before.
func (l *rig) same(t *testing.T, before node.Status) {
	t.Helper()
	now := l.status(t, healthy)
	for name, was := range before.Services {
		if is := now.Services[name]; is.PID != was.PID {
			t.Errorf("%s was %+v, and is %+v", name, was, is)
		}
	}
	if now.Current != before.Current {
		t.Errorf("the generation was %+v, and is %+v", before.Current, now.Current)
	}
}

func (l *rig) refused(t *testing.T) {
	target, o := l.op.target()
	before := l.status(t, healthy)
	bundle := func(key ed25519.PrivateKey, edit func(*node.Document), more string) node.Bundle {
		d := target.Document
		d.Generation = before.Highest + 1
		edit(&d)
		text, err := json.Marshal(d)
		check(t, err)
		return node.Bundle{Document: node.Sign(key, node.ForDocument, append([]byte(`{`+more), text[1:]...))}
	}
	nothing := func(*node.Document) {}
	for want, b := range map[string]node.Bundle{
		`400 Bad Request {"type":"invalid","detail":"node document:1:2: /colour: there is no such member`:                            bundle(o.Signer, nothing, `"colour": "red",`),
		`403 Forbidden {"type":"permission","detail":"the signature is not the provider's`:                                           bundle(ed25519.NewKeyFromSeed(make([]byte, 32)), nothing, ""),
		`409 Conflict {"type":"stale","detail":"generation 1 is not newer than `:                                                     bundle(o.Signer, func(d *node.Document) { d.Generation, d.Environment = 1, "x" }, ""),
		`400 Bad Request {"type":"invalid","detail":"this document is for n2 of demo.example, and this is n1 of demo.example`:        bundle(o.Signer, func(d *node.Document) { d.Node = "n2" }, ""),
		`400 Bad Request {"type":"invalid","detail":"the agent's certificate is none of the key that this node was born with`:        bundle(o.Signer, func(d *node.Document) { d.Agent.Certificate = d.Agent.OperatorCA }, ""),
		`400 Bad Request {"type":"invalid","detail":"this document needs release 9.0.0, and this node runs 0.0.1: update it first"}`: bundle(o.Signer, func(d *node.Document) { d.LeastImage = "9.0.0" }, ""),
	} {
		if got := l.op.ask(t, &l.op.Access.Certificate, http.MethodPost, node.PathApply, b); !strings.HasPrefix(got, want) {
			t.Errorf("it says %s, want %s", got, want)
		}
	}
	if after := l.status(t, healthy); after.Highest != before.Highest {
		t.Errorf("it has taken %d", after.Highest)
	}
	l.same(t, before)
}

func (l *rig) certificates(t *testing.T) {
	looker := l.op.newUser(t, "bob", node.RoleRead, time.Now())
	former := l.op.newUser(t, "carol", node.RoleDeploy, time.Now().AddDate(-2, 0, 0))
	if got := l.op.ask(t, looker, http.MethodGet, node.PathStatus, nil); !strings.Contains(got, "the node knows no operator") {
		t.Errorf("before it was told of bob it says %.200s", got)
	}
	target, o := l.op.target()
	if r, _ := push(t, target, o); r.Outcome != deploy.Good {
		t.Fatalf("%+v", r)
	}
	for want, got := range map[string]string{
		"certificate required": l.op.ask(t, nil, http.MethodGet, node.PathStatus, nil),
		"expired certificate":  l.op.ask(t, former, http.MethodGet, node.PathStatus, nil),
		"200 OK":               l.op.ask(t, looker, http.MethodGet, node.PathStatus, nil),
		`403 Forbidden {"type":"permission","detail"`: l.op.ask(t, looker, http.MethodPost, node.PathReboot, nil),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it says %.200s, want %s", got, want)
		}
	}
}

var back = regexp.MustCompile(`^killed \w+, back after (\d+) ms$`)

// killed kills every service once, and one of them again and again.
func (l *rig) killed(t *testing.T) {
	before := l.status(t, healthy)
	kill := func(name string) time.Duration {
		m := back.FindStringSubmatch(l.order(t, "kill "+name))
		if m == nil {
			t.Fatalf("%s was not killed", name)
		}
		ms, err := strconv.Atoi(m[1])
		check(t, err)
		return time.Duration(ms) * time.Millisecond
	}
	var all []time.Duration
	for _, name := range slices.Sorted(maps.Keys(before.Services)) {
		all = append(all, kill(name))
		l.says(t, "service="+name+` how="killed by signal 9 (killed)" in_a_row=1 next_start_in=100ms`)
	}
	t.Log("           back after", all) // On a machine that does nothing else, within 2 s.
	after := l.status(t, healthy)
	for name, was := range before.Services {
		if is := after.Services[name]; is.PID == was.PID || is.Restarts != was.Restarts+1 {
			t.Errorf("%s was %+v, and is %+v", name, was, is)
		}
	}
	for range 5 { // It may have run for long since the first time.
		kill("dns")
	}
	l.says(t, `service=dns how="killed by signal 9 (killed)" in_a_row=5 next_start_in=1.6s`)
	l.status(t, func(s node.Status) error {
		for _, text := range s.Trouble {
			if strings.HasPrefix(text, "dns does not stay up: ended ") && strings.Contains(text, "times in a row, the last time: killed by signal 9") {
				t.Log("          ", text)
				return nil
			}
		}
		return fmt.Errorf("it does not tell: %v", s.Trouble)
	})
	l.status(t, healthy)
}

// full fills the disk, and makes room again.
func (l *rig) full(t *testing.T) {
	before := l.status(t, healthy)
	t.Log("          ", l.order(t, "fill"))
	l.status(t, func(s node.Status) error {
		if !slices.ContainsFunc(s.Trouble, func(text string) bool { return strings.HasPrefix(text, "the disk is nearly full: 0 of ") }) {
			return fmt.Errorf("it does not say so: %v", s.Trouble)
		}
		return nil
	})
	l.op.set("/time/wait", "29s")
	target, o := l.op.target()
	r, _ := push(t, target, o)
	if r.Outcome != deploy.Failed || !strings.Contains(r.Error, "no space left on device") {
		t.Errorf("%+v", r)
	}
	t.Log("          ", r.Error)
	if now := l.status(t, func(node.Status) error { return nil }); now.Current != before.Current || now.Highest != before.Highest {
		t.Errorf("it was %+v, and is %+v", before.Current, now.Current)
	}
	l.order(t, "free")
	l.status(t, healthy)
	if r, _ := push(t, target, o); r.Outcome != deploy.Good {
		t.Errorf("with room again: %+v", r)
	}
}

// damaged overwrites the beginning of perm, and starts the node.
func (l *rig) damaged(t *testing.T) {
	l.machine.Cut(t)
	garbage := make([]byte, 1<<20)
	rand.Read(garbage)
	f, err := os.OpenFile(l.path("disk"), os.O_RDWR, 0)
	check(t, err)
	info, err := f.Stat()
	check(t, err)
	table, err := gpt.Layout(info.Size())
	check(t, err)
	at := table.Partitions[gpt.Perm-1].Start()
	_, err = f.WriteAt(garbage, at)
	check(t, err)
	l.on(t, 0)
	const says = "opening perm: perm is neither blank nor ours, and was left alone"
	l.says(t, "leap: TROUBLE "+says)
	s := l.status(t, func(node.Status) error { return nil })
	if !slices.Contains(s.Trouble, says) || s.Current.Number != 0 {
		t.Errorf("it says %+v", s)
	}
	target, o := l.op.target()
	if r, _ := push(t, target, o); r.Outcome != deploy.Failed || !strings.Contains(r.Error, "this node can keep nothing: "+says) {
		t.Errorf("a document: %+v", r)
	}
	check(t, l.machine.PowerCut(t.Context()))
	now := make([]byte, len(garbage))
	_, err = f.ReadAt(now, at)
	check(t, errors.Join(err, f.Close()))
	if !bytes.Equal(now, garbage) {
		t.Error("perm was written to")
	}
}
