package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/check"
	"leap.example/image/provider"
)

func (a *app) testCommand() *cobra.Command {
	var account bool
	cmd := &cobra.Command{
		Use: "test [FILTER]", Short: "Find out whether live nodes do what they are there for",
		Long: `Find out whether live nodes do what they are there for: by their agents (release,
generation, clock, disk, memory, each service, the mesh, what listens) and from here
with the real protocol of each service (certificates and when they end, pages and
what clients fetch, the key server, mail as other providers bring it, the zone, the gateways of the VPN).
What is not good comes with what to do next.

Where people may sign up, an account is made on each node with accounts: it logs in,
reads its own database on each node with soledad and is refused another one, is sent
a mail by each node with mx that has to arrive, and is deleted again. Leave that out
with --account=false. Who may only look makes none, since no node gives him an
invitation. FILTER says which nodes take part in all this.

What it does not look at: the internet from the nodes' side, the size of mail
storage, and which database account may do what.

Exit status 1 if something fails, 2 if something only wants attention.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			found, err := a.test(cmd.Context(), words, account)
			if err != nil {
				return err
			}
			failed := 0
			for _, r := range found {
				switch r.State {
				case node.CheckFail:
					failed++
				case node.CheckWarn:
					a.status = exitWarnings
				}
			}
			if err := a.print(found, func() { a.tellFound(found) }); err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d checks fail", failed, len(found))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&account, "account", true, "make, use and delete an account where people may sign up")
	return cmd
}

func (a *app) test(ctx context.Context, words []string, account bool) ([]check.Result, error) {
	i, nodes, clients, err := a.reachNodes(ctx, words, reach{})
	if err != nil {
		return nil, err
	}
	inLab, err := a.inLab(ctx, i)
	if err != nil {
		return nil, err
	}
	targets := make([]check.Target, len(nodes))
	for k, n := range nodes {
		t := check.Target{Node: n, Client: clients[k]}
		if t.Dial, err = inLab(n); err != nil {
			return nil, err
		}
		d, source, err := lastSource(i, n.Name)
		if err != nil {
			return nil, err
		}
		if source != nil {
			t.Document = &d
		}
		targets[k] = t
	}
	o := check.Options{Instance: i, Now: a.now()}
	if _, v, err := a.unlock(); err == nil { // Others may look without it.
		o.Member = func(env string) (tls.Certificate, error) { return i.Member(v, env, a.now()) }
	}
	if op, err := a.operator(i); err != nil {
		return nil, err
	} else if account && i.Role(op) == node.RoleDeploy {
		o.Account = func(ctx context.Context, n *provider.Node) (string, error) {
			codes, err := a.invite(ctx, i, n, invitation{count: 1, uses: 1, days: 1})
			if err != nil {
				return "", err
			}
			return codes.Codes[0], nil
		}
	}
	return check.Run(ctx, targets, o), nil
}

func (a *app) tellFound(found []check.Result) {
	rows := [][]string{}
	for _, r := range found {
		state := r.State
		if state == node.CheckFail {
			state = strings.ToUpper(state)
		}
		rows = append(rows, []string{r.Node, r.Check, state, strings.ReplaceAll(r.Text, "\n", "; ")})
		if r.Next != "" {
			rows = append(rows, []string{"", "", "", "→ " + r.Next})
		}
	}
	a.table(rows)
}
