package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/tests/lab"
	"leap.example/tests/play"
)

// canary stands in clear in what nodes are told, so that it lies on disks.
var canary = play.Word("CANARY")

// planted holds that a scan found the canary, and nothing else.
func planted(t *testing.T, f *play.Finder) {
	t.Helper()
	for word, places := range f.Found {
		if word != canary {
			t.Errorf("%s is on the disks of %v", word, places)
		}
	}
	if len(f.Found[canary]) == 0 {
		t.Error("the scan did not find what was put there: it would not find secrets either")
	}
}

// powerless cuts the power of a node.
func powerless(t *testing.T, l *lab.Lab, name string) {
	t.Helper()
	l.Step(name+" loses its power", func() { check(t, l.Node(name).PowerCut(t.Context())) })
}

// powered gives it back.
func powered(t *testing.T, l *lab.Lab, db play.Database, name string) {
	t.Helper()
	l.Step(name+" is back, and has what the others have", func() {
		check(t, l.Node(name).Start(t.Context()))
		l.Healthy(name)
		equal(t, l, db)
	})
}

// parted cuts a node off from the others, but not from users.
func parted(l *lab.Lab, name string) {
	l.Step(name+" is cut off from the other nodes", func() { l.Partition(l.Node(name)) })
}

// led waits until others lead what a node that is cut off has led, and those who asked
// that one ask the others: nobody has to choose a password while the database may not
// answer in time.
func led(t *testing.T, l *lab.Lab, s *play.Story, db play.Database, without string) {
	t.Helper()
	l.Step("the others lead without "+without, func() {
		l.Until("each shard has a leader", func(ctx context.Context) error {
			var got struct {
				Shards []struct {
					Shard  int
					Leader string
					Ready  bool
				}
			}
			if err := ask(ctx, db, 0, http.MethodGet, "/_node/_local/_cluster", "", &got); err != nil {
				return err
			}
			for _, s := range got.Shards {
				if s.Leader == "" || s.Leader == without || !s.Ready {
					return fmt.Errorf("shard %d: %+v", s.Shard, s)
				}
			}
			return nil
		})
		l.Until("a user is served", func(context.Context) error { return s.Served() })
	})
}

// healed joins it again.
func healed(t *testing.T, l *lab.Lab, db play.Database, name string) {
	t.Helper()
	l.Step(name+" reaches the others again, and has what they have", func() {
		l.Heal()
		l.Healthy(name)
		equal(t, l, db)
	})
}

// operate is what an operator does while people live there.
func operate(t *testing.T, l *lab.Lab, s *play.Story) {
	t.Helper()
	was := map[string]node.Status{}
	for _, name := range all {
		was[name] = l.Healthy(name)
	}
	l.Step("unchanged documents change nothing", func() { deployed(t, l, deploy.Unchanged, all...) })
	l.Step("a setting of two nodes is changed", func() {
		l.Op.Set("provider.json", "/description", map[string]string{"en": "Mail that only you can read: " + canary})
		l.Op.Set("nodes/mail.json", "/mx", map[string]int{"max_size": 5 << 20})
		deployed(t, l, deploy.Unchanged, databases...)
		deployed(t, l, deploy.Good, "mail", "web")
		l.Same("web", was["web"], "webapp")
		l.Same("mail", was["mail"], "mx")
		for _, name := range databases {
			l.Same(name, was[name])
		}
	})
	l.Step("a document that is bad is taken back", func() { bad(t, l) })
	l.Step("a power cut while a document is tried", func() { cut(t, l) })
	for _, name := range all {
		l.Step(name+" is restarted", func() { restart(t, l, s, name) })
	}
}

// bad gives the mail node a document with which it can never be healthy: its relay
// is to listen where another service does.
func bad(t *testing.T, l *lab.Lab) {
	t.Helper()
	before := l.Healthy("mail")
	targets, o := l.Op.Targets("mail")
	d := &targets[0].Document
	d.Gate.Ready = node.Duration(20 * time.Second)
	relay := d.Services["relay"]
	var section map[string]any
	check(t, json.Unmarshal(relay.Sections["relay"], &section))
	section["listen_tls"] = ":25"
	text, err := json.Marshal(section)
	check(t, err)
	relay.Sections = maps.Clone(relay.Sections)
	relay.Sections["relay"] = text
	d.Services["relay"] = relay
	r := deploy.Push(t.Context(), targets, o)[0]
	if r.Outcome != deploy.Bad || !strings.Contains(r.Error, "relay") {
		t.Fatalf("%+v", r)
	}
	t.Log("           " + r.Error)
	l.Same("mail", before, "relay")
	if now := l.Healthy("mail"); now.Current != before.Current {
		t.Errorf("mail has %+v, and had %+v", now.Current, before.Current)
	}
}

// cut takes the power from the web node while it tries a document. It goes on with
// it when it is back, and the operator's tool finds out.
func cut(t *testing.T, l *lab.Lab) {
	t.Helper()
	before := l.Healthy("web")
	l.Op.Set("provider.json", "/description", map[string]string{"en": "Mail that you alone can read: " + canary})
	targets, o := l.Op.Targets("web")
	var wg sync.WaitGroup
	defer wg.Wait()
	told, once := o.Told, sync.Once{}
	var lost error
	o.Told = func(name string, e node.Event) {
		told(name, e)
		once.Do(func() {
			wg.Go(func() { lost = errors.Join(l.Node("web").PowerCut(t.Context()), l.Node("web").Start(t.Context())) })
		})
	}
	r := deploy.Push(t.Context(), targets, o)[0]
	wg.Wait()
	check(t, lost)
	if r.Outcome != deploy.Good || r.Generation.Number <= before.Current.Number {
		t.Errorf("%+v", r)
	}
	if now := l.Healthy("web"); now.Booted.Equal(before.Booted) || now.Current != r.Generation || len(now.Trouble) > 0 {
		t.Errorf("web is %+v", now)
	}
}

// longest is how long the database may keep everybody waiting when one of its nodes
// goes: an election on a machine that is busy.
const longest = time.Minute

// restart restarts a node, and waits until it is healthy. One of the database may
// go without anybody noticing for long.
func restart(t *testing.T, l *lab.Lab, s *play.Story, name string) {
	t.Helper()
	before := l.Healthy(name)
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg      sync.WaitGroup
		outage  time.Duration
		answers int
	)
	if slices.Contains(databases, name) {
		wg.Go(func() { outage, answers = watch(ctx, s) })
	}
	check(t, l.Op.Client(name).Reboot(t.Context()))
	l.Restarted(name, before)
	stop()
	wg.Wait()
	if !slices.Contains(databases, name) {
		return
	}
	t.Logf("           %d answers meanwhile, none for %.1f s", answers, outage.Seconds())
	if answers == 0 || outage > longest {
		t.Errorf("while %s was away the provider gave %d answers, and none for %v", name, answers, outage)
	}
}

// watch asks for what the database has to know, until ctx ends. It returns the
// longest time without an answer, and how many there were.
func watch(ctx context.Context, s *play.Story) (outage time.Duration, answers int) {
	address := s.At.Nickserver + "/?address=" + url.QueryEscape("alice@"+domain)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		err := look(ctx, s.At.HTTP, address)
		if ctx.Err() != nil {
			return outage, answers
		}
		outage = max(outage, time.Since(last))
		if err == nil {
			last = time.Now()
			answers++
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// look fetches a page once. That there is none is an answer, too.
func look(ctx context.Context, c *http.Client, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		err = errors.New(resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// healthyAll holds that nothing is wrong with any node.
func healthyAll(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, name := range all {
		if s := l.Healthy(name); s.Current.State != node.StateGood || len(s.Trouble) > 0 || !s.ClockKnown {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
