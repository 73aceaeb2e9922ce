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
	good := 0
	for _, r := range results {
		switch r.State {
		case appliance.CheckFail:
			t.Errorf("%s: %s: %s (%s)", r.Node, r.Check, r.Text, r.Next)
		case appliance.CheckOK:
			good++
		default:
			t.Logf("           %s: %s: %s", r.Node, r.Check, r.Text)
		}
	}
	t.Logf("           %d of %d checks are good", good, len(results))
}
