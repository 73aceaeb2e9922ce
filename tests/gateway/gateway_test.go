package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"leap.example/image/deploy"
	"leap.example/services/protocol/lease"
)

// TestLife is one story: each step begins where the one before ended.
func TestLife(t *testing.T) {
	w := newWorld(t)
	canary := w.born()
	hidden := needles{}
	hidden.address("the user's address", own)
	hidden.address("the user's address", own6)

	alice := w.account(w.ca.certificate(t, lease.Unlimited, 24*time.Hour))
	var s *session
	w.Step("a user is in the world, and seen at the gateway's address", func() {
		s = alice.connect(netip.AddrPortFrom(entry, 443))
		if !s.granted.PQ || len(s.granted.Addresses) != 2 || s.granted.Plan != lease.Unlimited {
			t.Errorf("the lease is pq %v, plan %s, with %d addresses", s.granted.PQ, s.granted.Plan, len(s.granted.Addresses))
		}
		s.seen()
	})
	hidden.session("alice", s, alice)
	w.Step("the gateway finds names for users", s.names)
	w.Step("of its node they reach the lease API, and nothing else", s.node)
	w.Step("by IPv6 and another port, too", func() {
		other := alice.connect(netip.AddrPortFrom(entry6, 53))
		other.seen()
		hidden.session("alice again", other, alice)
	})
	w.crowded(s, hidden)
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"restarted by an operator", func() { check(t, w.Op.Client(nodeName).Reboot(t.Context())) }},
		{"after a power cut", func() {
			check(t, w.Node(nodeName).PowerCut(t.Context()))
			check(t, w.Start(t.Context()))
		}},
	} {
		w.Step(end.name+", it has forgotten its leases, and gives others", func() {
			before := w.Healthy(nodeName)
			old := s
			end.do()
			w.Restarted(nodeName, before)
			if !old.lost() {
				t.Error("a tunnel from before goes on")
			}
			w.Until("it knows no lease from before", func(ctx context.Context) error {
				status, answer, err := alice.do(ctx, http.MethodPut, old.granted.LeaseID.Path(), lease.Request{
					WGPublicKey: old.Key.Public(), Want: lease.Want{Transport: lease.UDP},
				})
				if err == nil && status != http.StatusNotFound {
					err = fmt.Errorf("status %d: %s", status, answer)
				}
				return err
			})
			s = alice.connect(netip.AddrPortFrom(entry, 1194))
			s.seen()
			hidden.session(end.name, s, alice)
		})
	}
	w.Step("nothing of its users is in its logs or on its disk", func() { w.searched(hidden, canary) })
	w.watch(t)
}

// born has the node go on with its first document, which has a word in it that is
// on its disk then, and nowhere else.
func (w *world) born() (canary string) {
	t := w.t
	w.Step("the gateway is born: its agent answers", func() { check(t, w.Start(t.Context())) })
	w.Step("the operator meets it", w.Meet)
	word := make([]byte, 16)
	_, _ = rand.Read(word) // It never fails.
	canary = "canary-" + hex.EncodeToString(word)
	w.Step("the first document is good", func() {
		targets, o := w.Op.Targets(nodeName)
		hosts := &targets[0].Document.Network.Hosts
		if *hosts == nil {
			*hosts = map[string][]netip.Addr{}
		}
		(*hosts)[canary+"."+domain] = []netip.Addr{place}
		if r := deploy.Push(t.Context(), targets, o)[0]; r.Outcome != deploy.Good {
			t.Fatalf("%+v", r)
		}
	})
	s := w.Healthy(nodeName)
	t.Logf("           it runs %d services; %d of %d MB of memory are free", len(s.Services), s.Memory.Available>>20, s.Memory.Size>>20)
	return canary
}

const (
	crowdLife = 24 * time.Second // How long many users have certificates, at least.
	spare     = 10 * time.Second // How long of it is left when all have come.
)

// come has many users get leases, and returns one of them. It takes longer
// certificates, and others, as long as the machine is too slow for them.
func (w *world) come() (*account, *session) {
	t := w.t
	for life := crowdLife; ; life *= 2 {
		many := w.account(w.ca.certificate(t, lease.Unlimited, life))
		end := many.cert.Leaf.NotAfter
		last := many.connect(netip.AddrPortFrom(entry, 51821))
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(8)
		for range crowd - 1 {
			g.Go(func() error {
				_, _, err := many.lease(ctx)
				return err
			})
		}
		err := g.Wait()
		if left := time.Until(end); left < spare {
			t.Logf("           %d leases take longer than %v: %v", crowd, life-spare, err)
			continue
		}
		check(t, err)
		return many, last
	}
}

// crowded has many users at once, whose certificates end; meanwhile others send
// as much as they can.
func (w *world) crowded(free *session, hidden needles) {
	t := w.t
	var many *account
	var last *session
	w.Step(fmt.Sprintf("%d users come", crowd), func() {
		many, last = w.come()
		if n := many.bucket(); n != lease.Bucket(crowd) {
			t.Errorf("there are up to %d leases, not %d", n, crowd)
		}
		last.seen()
		hidden.session("one of many", last, many)
	})
	end := many.cert.Leaf.NotAfter
	t.Logf("           %.1f s before their certificates end", time.Until(end).Seconds())
	pings := last.pinged(end)
	bob := w.account(w.ca.certificate(t, lease.Limited, 24*time.Hour))
	w.Step("a user with a limit has what it says, and a neighbour without is not hurt", func() {
		s := bob.connect(netip.AddrPortFrom(entry, 80))
		if s.granted.Plan != lease.Limited || s.granted.RateBytesPerS != rate {
			t.Errorf("the lease is %s, with %d bytes a second", s.granted.Plan, s.granted.RateBytesPerS)
		}
		hidden.session("bob", s, bob)
		limited(t, s, free)
	})
	w.Step("the many are gone when their certificates end", func() {
		after := <-pings
		t.Logf("           the last answer came %.1f s after the end", after.Seconds())
		// It is to be 2 s; this machine is an emulated one, and has to remove all.
		if after > 10*time.Second || after < -5*time.Second {
			t.Errorf("a tunnel carries until %v after the end of its lease", after)
		}
		var n int
		w.Until("the leases are gone", func(context.Context) error {
			if n = bob.bucket(); n > lease.Bucket(10) {
				return fmt.Errorf("there are up to %d", n)
			}
			return nil
		})
		if !last.lost() {
			t.Error("a tunnel goes on after its end")
		}
		free.seen()
	})
}

// searched looks for what nobody may keep.
func (w *world) searched(hidden needles, canary string) {
	t := w.t
	logs := filepath.Join(w.Dir, "logs")
	check(t, w.Op.SaveLogs(nodeName, logs))
	text, err := os.ReadFile(logs)
	check(t, err)
	if !strings.Contains(string(text), "gateway") {
		t.Error("the logs have no gateway")
	}
	if found := scanFile(t, logs, bytes.NewReader(nil), hidden); len(found) > 0 {
		t.Errorf("in the logs there is %q", found)
	}
	check(t, w.Node(nodeName).Stop(t.Context(), time.Minute)) // What it would write, it has written.
	planted := needles{}
	planted.text("canary", canary)
	maps.Copy(hidden, planted)
	image, err := os.Open(filepath.Join(w.Dir, "image"))
	check(t, err)
	found := scanFile(t, w.Node(nodeName).Disk(), image, hidden)
	check(t, image.Close())
	t.Logf("           of %d things, %q are on the disk", len(hidden), found)
	for _, name := range found {
		if planted[name] == nil {
			t.Errorf("on the disk there is %s", name)
		}
	}
	if len(found) == 0 {
		t.Error("what was planted is not found")
	}
}
