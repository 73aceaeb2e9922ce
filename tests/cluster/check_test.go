package cluster

import (
	"context"
	"testing"
	"time"

	appliance "leap.example/appliance/node"
	checks "leap.example/image/check"
	"leap.example/image/provider"
	"leap.example/tests/lab"
)

// tested runs the checks of "leap test" on all nodes. On each node with accounts
// one is made, used and deleted.
func tested(t *testing.T, l *lab.Lab) {
	t.Helper()
	i, _ := l.Op.Open()
	targets, _ := l.Op.Targets(all...)
	var list []checks.Target
	for k, name := range all {
		list = append(list, checks.Target{Node: i.Node(name), Document: &targets[k].Document, Client: targets[k].Client, Dial: l.Dial})
	}
	results := checks.Run(t.Context(), list, checks.Options{
		Instance: i, Now: time.Now(),
		Account: func(context.Context, *provider.Node) (string, error) { return invite, nil },
	})
	names := map[string]int{}
	for _, r := range results {
		names[r.Check]++
		if r.State != appliance.CheckOK {
			t.Errorf("%s: %s: %s: %s (%s)", r.Node, r.Check, r.State, r.Text, r.Next)
		}
	}
	for check, least := range map[string]int{
		"agent": len(all), "generation": len(all), "listeners": len(all), "ports": len(all), "soledad.foreign": len(databases),
		"web.provider": 1, "api.answers": 1, "account": 1, "account.soledad": len(databases), "account.mail": 1,
		"nickserver.lookup": 1, "mx.recipients": 1, "relay.login": 1, "dns.tcp": 1,
	} {
		if names[check] < least {
			t.Errorf("%d nodes were looked at by %s, not %d", names[check], check, least)
		}
	}
	t.Logf("           %d checks", len(results))
}
