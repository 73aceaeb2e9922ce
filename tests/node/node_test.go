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
	l.Step("the node is born: its agent answers", func() { check(t, l.Start(t.Context())) })
	l.Step("the operator meets it", l.Meet)
	l.Step("the first document is good", func() {
		if r := l.Op.Deploy(nodeName)[0]; r.Outcome != deploy.Good {
			t.Fatalf("%+v", r)
		}
	})
	var s appliance.Status
	l.Step("all services are healthy", func() { s = l.Healthy(nodeName) })
	if len(s.Services) != len(appliance.Services())-1 { // It is no gateway.
		t.Errorf("it runs %d services, not all but one of %v", len(s.Services), appliance.Services())
	}
	t.Logf("           %d of %d MB of memory are free", s.Memory.Available>>20, s.Memory.Size>>20)
	l.Step("the front page has the provider's name", func() { frontPage(t, l) })
	l.Step("the same document again changes nothing", func() {
		if r := l.Op.Deploy(nodeName)[0]; r.Outcome != deploy.Unchanged {
			t.Errorf("%+v", r)
		}
		l.Same(nodeName, s)
	})
	l.Step("a document that is bad is taken back", func() {
		targets, o := l.Op.Targets(nodeName)
		spoil(t, &targets[0].Document)
		r := deploy.Push(t.Context(), targets, o)[0]
		if r.Outcome != deploy.Bad || !strings.Contains(r.Error, "relay") {
			t.Errorf("%+v", r)
		}
		// A busy machine may not have come so far.
		if strings.Contains(r.Error, "ended") && !strings.Contains(r.Error, "status 1; it wrote: exiting: relay: listen tcp :443: ") {
			t.Errorf("it does not say why: %s", r.Error)
		}
		t.Log("           " + r.Error)
		l.Same(nodeName, s, "relay")
	})
	l.Step("a user lives with it", func() { live(t, l) })
	l.Step("restarted by an operator, it is healthy", func() {
		before := l.Healthy(nodeName)
		check(t, l.Op.Client(nodeName).Reboot(t.Context()))
		l.Restarted(nodeName, before)
	})
	l.Step("after a power cut it is healthy", func() {
		before := l.Healthy(nodeName)
		check(t, l.Node(nodeName).PowerCut(t.Context()))
		check(t, l.Start(t.Context()))
		l.Restarted(nodeName, before)
	})
	l.Step("no other port is open than the document's", func() { scan(t, l) })
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
