package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

func (a *app) rebootCommand() *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "reboot [FILTER]", Short: "Restart machines, one after the other",
		Long: `Restart machines, one after the other, and wait until all services of each are
healthy before the next one. The nodes behind one that does not come back are left
as they are.`,
		Example: "  leap reboot web1\n  leap reboot +couchdb --yes",
		RunE: func(cmd *cobra.Command, words []string) error {
			_, nodes, clients, err := a.reachNodes(cmd.Context(), words, at)
			if err != nil {
				return err
			}
			if err := a.confirm("Restart " + strings.Join(names(nodes), ", ") + "?"); err != nil {
				return err
			}
			return a.inTurn(nodes, func(k int) error {
				fmt.Fprintf(a.errs, "%s: restarting\n", nodes[k].Name)
				return clients[k].Renew(cmd.Context())
			})
		},
	}
	at.flags(cmd)
	return cmd
}

// inTurn does something with one node after the other, and stops at the first with
// which it does not go well. It prints what became of each.
func (a *app) inTurn(nodes []*provider.Node, do func(k int) error) error {
	results, rows, failed := []deploy.Result{}, [][]string{}, ""
	for k, n := range nodes {
		one := deploy.Result{Node: n.Name, Outcome: deploy.Skipped, Error: "it did not work on " + failed + ": this node is left as it is"}
		if failed == "" {
			one = deploy.Result{Node: n.Name, Outcome: deploy.Good}
			if err := do(k); err != nil {
				failed, one.Outcome, one.Error = n.Name, deploy.Failed, err.Error()
				if errors.Is(err, deploy.ErrBadRelease) {
					one.Outcome = deploy.Bad
				}
			}
		}
		results, rows = append(results, one), append(rows, []string{one.Node, one.Outcome, one.Error})
	}
	if err := a.print(results, func() { a.table(rows) }); err != nil {
		return err
	}
	if failed != "" {
		return fmt.Errorf("%s is not what it should be", failed)
	}
	return nil
}

func (a *app) runRestart() *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "restart SERVICE [FILTER]", Short: "Restart a service, on one node after the other", Args: args(cobra.MinimumNArgs(1)),
		Long: `Stop a service and start it, on one node after the other, and wait until it is
healthy before the next one. It may be one that has given up: "leap status" shows
such.`,
		Example: "  leap run restart mx\n  leap run restart bigcouch db1",
		RunE: func(cmd *cobra.Command, words []string) error {
			service := words[0]
			if of, ok := provider.Classic[service]; ok {
				service = of[0]
			}
			if _, ok := node.ID(service); !ok {
				return fmt.Errorf("there is no service %q; there are %s", service, strings.Join(provider.KnownServices(), ", "))
			}
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := a.live(i, words[1:])
			if err != nil {
				return err
			}
			nodes = slices.DeleteFunc(nodes, func(n *provider.Node) bool { return !n.Has(service) })
			if len(nodes) == 0 {
				return fmt.Errorf("%s runs on none of these nodes", service)
			}
			clients, err := a.clients(cmd.Context(), i, nodes, at)
			if err != nil {
				return err
			}
			return a.inTurn(nodes, func(k int) error {
				fmt.Fprintf(a.errs, "%s: restarting %s\n", nodes[k].Name, service)
				return clients[k].RenewService(cmd.Context(), service)
			})
		},
	}
	at.flags(cmd)
	return cmd
}
