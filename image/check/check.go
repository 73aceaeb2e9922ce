// Package check finds out whether live nodes do what they are there for. It looks
// at each from two sides: by its agent, which tells how the node sees itself, and
// from outside, as the world sees it, with the real protocol of each service. What
// should be is what the provider instance says and what was compiled from it.
//
// Nothing is changed by looking, with one exception that can be left out: an account
// that is made, used and deleted again ([Options.Account]).
//
// No check blocks another one. Each finding has a text that says what was found,
// and one that is not good also what to do next.
package check

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

// Limits of checks.
const (
	dialFor   = 5 * time.Second
	closedFor = 2 * time.Second // A port that should not answer.
	checkFor  = 30 * time.Second
	soon      = 30 * 24 * time.Hour // Before the end of a certificate.
)

// A Result is one finding.
type Result struct {
	Node  string `json:"node"`
	Check string `json:"check"`
	State string `json:"state"` // As of [node.Check].
	Text  string `json:"text"`
	Next  string `json:"next,omitempty"` // What to do, if it is not good.
}

// Options say what is looked at.
type Options struct {
	Instance *provider.Instance
	Now      time.Time
	// Account has an account be made, used and deleted on each node with accounts,
	// with an invitation that it gets from there. Nil: none.
	Account func(ctx context.Context, n *provider.Node) (invite string, err error)
	// Member makes a certificate as users of the VPN have one. Nil: gateways are
	// not asked to admit anybody.
	Member func(env string) (tls.Certificate, error)
}

// A Target is one node.
type Target struct {
	Node *provider.Node
	// Document is what was compiled for it. Nil: nothing was.
	Document *node.Document
	Client   *deploy.Client
	// Dial opens connections to it. Nil: net.Dialer.DialContext. Through another
	// one no datagrams go.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Run looks at all targets, and returns what it found, node by node.
func Run(ctx context.Context, targets []Target, o Options) []Result {
	each := make([][]Result, len(targets))
	all := slices.Clone(targets)
	for k, t := range all {
		if t.Dial == nil {
			all[k].Dial = new(net.Dialer).DialContext
		}
	}
	var wg sync.WaitGroup
	for k, t := range all {
		wg.Go(func() {
			c := &checker{Options: o, Target: t, all: all, direct: targets[k].Dial == nil}
			each[k] = c.run(ctx)
		})
	}
	wg.Wait()
	return slices.Concat(each...)
}

// A checker looks at one node.
type checker struct {
	Options
	Target
	all    []Target // That are looked at.
	direct bool

	list []Result
}

// run looks at the node. Findings are in the order of the checks.
func (c *checker) run(ctx context.Context) []Result {
	if !c.agent(ctx) {
		return c.list
	}
	parts := []func(*checker, context.Context){(*checker).certificates, (*checker).ports}
	for _, s := range services {
		if c.Node.Has(s.name) {
			parts = append(parts, s.check)
		}
	}
	account := -1
	if c.Node.Has("webapp") {
		account, parts = len(parts), append(parts, (*checker).account)
	}
	found := make([][]Result, len(parts))
	var wg sync.WaitGroup
	for k, f := range parts {
		within := checkFor
		if k == account {
			within += useFor
		}
		wg.Go(func() {
			one := &checker{Options: c.Options, Target: c.Target, all: c.all, direct: c.direct}
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			f(one, ctx)
			found[k] = one.list
		})
	}
	wg.Wait()
	return append(c.list, slices.Concat(found...)...)
}

// services are the checks of services, by the names of leapd's.
var services = []struct {
	name  string
	check func(*checker, context.Context)
}{
	{"webapp", (*checker).web},
	{"webapp", (*checker).api},
	{"nickserver", (*checker).nickserver},
	{"soledad", (*checker).soledad},
	{"mx", (*checker).mx},
	{"relay", (*checker).relay},
	{"dns", (*checker).dns},
	{"gateway", (*checker).gateway},
}

func (c *checker) add(check, state, text, next string) {
	c.list = append(c.list, Result{c.Node.Name, check, state, text, next})
}

// good adds a finding that is good.
func (c *checker) good(check, text string) { c.add(check, node.CheckOK, text, "") }

// judge adds what err says, or that it is good.
func (c *checker) judge(check string, err error, text, next string) bool {
	if err != nil {
		c.add(check, node.CheckFail, err.Error(), next)
		return false
	}
	c.good(check, text)
	return true
}

// logs is the next step where a service does not do what it should.
func (c *checker) logs(service string) string {
	return "leap logs -s " + service + " " + c.Node.Name
}

// at is a port of the node.
func (c *checker) at(port uint16) string {
	return netip.AddrPortFrom(c.Node.IPAddress, port).String()
}

// dial connects to a port of the node.
func (c *checker) dial(ctx context.Context, port uint16, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.Dial(ctx, "tcp", c.at(port))
}

// domain is the provider's.
func (c *checker) domain() string { return c.Instance.Domain(c.Node.Environment) }
