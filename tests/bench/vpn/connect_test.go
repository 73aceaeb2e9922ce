package vpn_test

import (
	"encoding/json"
	"testing"
	"time"

	"leap.example/appliance/netcfg/nettest"
	"leap.example/client/vpn/policy"
	"leap.example/services/gateway"
	"leap.example/services/protocol/lease"
)

// oneWay is half of a round trip.
const oneWay = 25 * time.Millisecond

// sceneConnect measures how long it takes from the start of a client's process
// until a connection through the tunnel is there. Our client has its certificate
// and the helper runs, as systemd starts it; OpenVPN has its certificate. "switch"
// is for a client whose process runs already, as the daemon's does.
func sceneConnect(t testing.TB, report reporter) {
	w := newWorld(t)
	g, u := w.gateway("tunnel", func(c *gateway.Config) { c.Leases = 2 * *connects }), w.user("tunnel-helper", lease.Unlimited, oneWay)
	u.about.Gateway = g.api
	raw := w.join(oneWay)
	o := w.openvpn()
	var other *nettest.Peer
	if o != nil {
		other = w.join(oneWay)
	}
	found := map[string][]float64{}
	for range *connects {
		found["rtt"] = append(found["rtt"], timed(func() { dial(w, raw).Close() }))
		if o != nil {
			var c *process
			found["openvpn"] = append(found["openvpn"], timed(func() {
				c = o.connect(other)
				dial(w, other).Close()
			}))
			c.end()
		}
		var cold, warm connected
		found["cold"] = append(found["cold"], timed(func() { cold = u.fresh(w, nil) }))
		u.open(w)
		found["warm"] = append(found["warm"], timed(func() { warm = u.fresh(w, &cold.Policy) }))
		found["block"], found["lease"] = append(found["block"], cold.Block), append(found["lease"], cold.Lease)
		found["tunnel"] = append(found["tunnel"], cold.Tunnel, warm.Tunnel)
		u.open(w)
		found["switch"] = append(found["switch"], timed(func() { u.through(w, g) }))
		u.open(w)
	}
	for name, values := range found {
		t.Logf("%s, ms: %.0f", name, values)
		report(median(values), name+"-ms")
	}
	for _, name := range []string{"cold", "switch", "warm"} {
		report(ratio(median(found[name]), median(found["openvpn"])), name+"-x-openvpn")
		report(ratio(median(found[name]), median(found["rtt"])), name+"-rtts")
	}
}

// fresh connects by a new process, with the lease of a policy or a new one, and
// waits for a connection.
func (u *user) fresh(w *world, cached *policy.Policy) (made connected) {
	w.Helper()
	a := u.about
	a.Cached = cached
	c := w.start(u.Peer, w.role("connect", "connect", a))
	w.must(json.Unmarshal([]byte(c.until("{")), &made))
	dial(w, u.Peer).Close()
	c.end()
	return made
}

// timed is how long f takes, in ms.
func timed(f func()) float64 {
	begun := time.Now()
	f()
	return float64(time.Since(begun)) / float64(time.Millisecond)
}
