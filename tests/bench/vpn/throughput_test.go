package vpn_test

import (
	"testing"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/services/protocol/lease"
)

// A contender carries the load of a client.
type contender struct {
	name    string
	at      *nettest.Peer
	watched []*process // Its two ends, the client's first.
	found   [2][]turned
}

// The directions of load, as units have them.
var directions = []string{"up", "down"}

// sceneThroughput has all who are compared carry one connection by turns.
func sceneThroughput(t testing.TB, report reporter) {
	w := newWorld(t)
	all := []*contender{{name: "raw", at: w.join(0)}}
	if o := w.openvpn(); o != nil {
		p := w.join(0)
		all = append(all, &contender{name: "openvpn", at: p, watched: []*process{o.connect(p), o.server}})
	}
	for _, name := range []string{"tunnel", "gateway"} {
		g, u := w.gateway(name, nil), w.user(name+"-helper", lease.Unlimited, 0)
		u.through(w, g)
		if name == "tunnel" {
			report(u.helper.anonymous(), "rss-MB")
		}
		all = append(all, &contender{name: name, at: u.Peer, watched: []*process{u.helper, g.process}})
	}
	for range *rounds {
		for i := range directions {
			for _, c := range all {
				c.found[i] = append(c.found[i], w.carry(c.at, i == 1, *turn, c.watched...))
			}
		}
	}
	found := map[string][2]turned{}
	for _, c := range all {
		var both [2]turned
		for i, way := range directions {
			both[i] = middle(c.found[i])
			report(both[i].mbit, c.name+"-"+way+"-Mbit/s")
			if c.watched != nil {
				report(both[i].cpu, c.name+"-"+way+"-cpu-s/GB")
			}
		}
		found[c.name] = both
	}
	for i, way := range directions {
		for _, name := range []string{"tunnel", "gateway"} {
			ours := found[name][i]
			report(ratio(ours.mbit, found["openvpn"][i].mbit), name+"-"+way+"-x-openvpn")
			report(ratio(ours.mbit, found["raw"][i].mbit), name+"-"+way+"-x-raw")
			report(ratio(ours.cpu, found["openvpn"][i].cpu), name+"-"+way+"-cpu-x-openvpn")
		}
	}
	tunnel := found["tunnel"]
	report(max(tunnel[0].most, tunnel[1].most), "loaded-rss-MB")
}

// middle takes the medians of turns, and of memory the most.
func middle(turns []turned) (m turned) {
	var mbit, cpu []float64
	for _, t := range turns {
		mbit, cpu = append(mbit, t.mbit), append(cpu, t.cpu)
		m.most = max(m.most, t.most)
	}
	m.mbit, m.cpu = median(mbit), median(cpu)
	return m
}
