package leaks_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
)

// groups are those of vpn.md 8, in their order.
var groups = []struct {
	name string
	run  func(w *world)
}{
	{"states", states},
	{"kills", kills},
	{"links and routes", links},
	{"DNS", names},
	{"plaintext to the gateway", plaintext},
	{"probes of the tunnel's address", probes},
	{"forwarded traffic", forwarded},
	{"boot", boot},
	{"update and switch", changeover},
	{"self-update", selfUpdate},
	{"one version of IP", versions},
	{"expired lease", expired},
	{"suspend and roaming", roaming},
	{"portal window", window},
	{"connections after down", ends},
}

func TestLeaks(t *testing.T) {
	nettest.Need(t)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			leaked, control := -1, -1
			begun := time.Now()
			t.Run("armed", func(t *testing.T) {
				w := newWorld(t, false)
				g.run(w)
				leaked = w.total
			})
			t.Run("control", func(t *testing.T) {
				w := newWorld(t, true)
				g.run(w)
				control = w.total
			})
			if leaked < 0 || control < 0 {
				fmt.Fprintf(os.Stdout, "leaks: %s: NOT TRIED TO THE END\n", g.name)
			} else {
				fmt.Fprintf(os.Stdout, "leaks: %s: leaked %d (control leaked %d)\n", g.name, leaked, control)
				t.Logf("%v", time.Since(begun).Round(time.Millisecond))
			}
		})
	}
}

// step does something while traffic is tried, and counts what leaves. Armed, that
// is nothing; in the control it is something, or the step proves nothing.
func (w *world) step(what string, do func()) {
	w.Helper()
	w.shooting(what, w.shooter, everything(), do)
}

func (w *world) shooting(what string, a *actor, shots []shot, do func()) {
	w.Helper()
	w.quiet()
	stop := w.storm(a, shots)
	func() {
		defer stop()
		do()
		a.volley(shots)
	}()
	w.count(what)
	a.volley(nil)
}

// quiet forgets what was seen so far.
func (w *world) quiet() {
	for _, o := range append(w.others, w.wan) {
		o.take(w.T)
	}
}

// count judges what was seen.
func (w *world) count(what string) {
	w.Helper()
	var seen []frame
	for _, o := range append(w.others, w.wan) {
		seen = append(seen, o.take(w.T)...)
	}
	w.total += len(seen)
	switch {
	case w.control && len(seen) == 0:
		w.Errorf("%s: the control leaks nothing, so this proves nothing", what)
	case !w.control && len(seen) > 0:
		w.Errorf("%s: %d packets leaked, %v first", what, len(seen), seen[:min(len(seen), 5)])
	}
	w.Logf("%s: %d", what, len(seen))
}

// pause lets traffic be tried for a while.
func (w *world) pause(d time.Duration) {
	select {
	case <-w.Context().Done():
	case <-time.After(d):
	}
}

// disarm takes the firewall away in a control run, and puts routes as clients
// have them that trust these alone.
func (w *world) disarm(p policy.Policy) {
	w.Helper()
	if !w.control {
		return
	}
	w.client.Do(w.T, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		// Were the table removed, the helper would put it back. A first rule that
		// accepts all is as good as none.
		t := &nftables.Table{Name: "leap_vpn", Family: nftables.TableFamilyINet}
		for _, name := range []string{"input", "forward", "output"} {
			conn.InsertRule(&nftables.Rule{
				Table: t, Chain: &nftables.Chain{Name: name, Table: t}, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}},
			})
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/arp_ignore", []byte("0"), 0o644); err != nil {
			return err
		}
		if p.Tunnel == nil {
			return nil
		}
		return naiveRoutes(p)
	})
}

// naiveRoutes are a default by the tunnel that is better than the network's, and
// a way to the gateway beside it.
func naiveRoutes(p policy.Policy) error {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := netlink.RuleList(family)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.Priority >= 5199 && r.Priority <= 5202 {
				r.Family = family
				if err := netlink.RuleDel(&r); err != nil {
					return err
				}
			}
		}
	}
	gateway, to := router, p.Tunnel.Endpoint.Addr()
	if to.Is6() {
		gateway = "fe80::1"
	}
	if err := addRoute("eth0", fmt.Sprintf("%v/%d", to, to.BitLen()), gateway, 10); err != nil {
		return err
	}
	for _, a := range p.Tunnel.Addresses {
		all := "0.0.0.0/0"
		if a.Addr().Is6() {
			all = "::/0"
		}
		if err := addRoute("leap0", all, "", 50); err != nil {
			return err
		}
	}
	return nil
}
