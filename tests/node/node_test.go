package node

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	appliance "leap.example/appliance/node"
	"leap.example/image/deploy"
)

// TestLife is one story: each step begins where the one before ended.
func TestLife(t *testing.T) {
	l := newLab(t)
	var s appliance.Status
	step(t, "the node is born: its agent answers", func() {
		l.on(t)
		s = l.status(t, func(appliance.Status) error { return nil })
	})
	if s.MeshKey == "" || s.Current.Number != 0 || len(s.Trouble) > 0 {
		t.Errorf("a node that is new: %+v", s)
	}
	l.op.set(t, "/mesh/public_key", s.MeshKey)

	step(t, "the first document is good", func() {
		target, o := l.op.target(t)
		if r := push(t, target, o); r.Outcome != deploy.Good {
			t.Fatalf("%+v", r)
		}
	})
	step(t, "all services are healthy", func() { s = l.status(t, healthy) })
	t.Logf("          %d of %d MB of memory are free", s.Memory.Available>>20, s.Memory.Size>>20)
	step(t, "the front page has the provider's name", func() { l.frontPage(t) })
	step(t, "the same document again changes nothing", func() {
		target, o := l.op.target(t)
		if r := push(t, target, o); r.Outcome != deploy.Unchanged {
			t.Errorf("%+v", r)
		}
		l.same(t, s)
	})
	step(t, "a document that is bad is taken back", func() {
		target, o := l.op.target(t)
		spoil(t, &target.Document)
		r := push(t, target, o)
		if r.Outcome != deploy.Bad || !strings.Contains(r.Error, "relay") {
			t.Errorf("%+v", r)
		}
		// A busy machine may not have come so far.
		if strings.Contains(r.Error, "ended") && !strings.Contains(r.Error, "status 1; it wrote: exiting: relay: listen tcp :443: ") {
			t.Errorf("it does not say why: %s", r.Error)
		}
		t.Log("          ", r.Error)
		l.same(t, s, "relay")
	})
	step(t, "a user lives with it", func() { l.live(t) })
	generation := s.Current
	after := func(what string, do func()) {
		t.Helper()
		before := l.status(t, healthy)
		step(t, what, func() {
			do()
			s = l.status(t, func(s appliance.Status) error { return restarted(before, s) })
		})
		if s.Current != generation || len(s.Trouble) > 0 {
			t.Errorf("afterwards: %+v", s)
		}
	}
	after("restarted by an operator, it is healthy", func() { check(t, l.op.client(t).Reboot(t.Context())) })
	after("after a power cut it is healthy", func() {
		check(t, l.machine.PowerCut(t.Context()))
		check(t, l.machine.Close())
		l.on(t)
	})
	step(t, "no other port is open than the document's", func() { l.scan(t) })
}

// spoil makes a document bad: its relay can never listen where it is told to,
// since another service does.
func spoil(t *testing.T, d *appliance.Document) {
	t.Helper()
	d.Gate.Ready = appliance.Duration(15 * time.Second)
	relay := d.Services["relay"]
	var section map[string]any
	check(t, json.Unmarshal(relay.Sections["relay"], &section))
	section["listen_tls"] = ":443"
	text, err := json.Marshal(section)
	check(t, err)
	relay.Sections = maps.Clone(relay.Sections)
	relay.Sections["relay"] = text
	d.Services["relay"] = relay
}
