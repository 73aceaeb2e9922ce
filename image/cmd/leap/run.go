package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
	"leap.example/services/protocol/bonafide"
)

func (a *app) runCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "run", Short: "Have a node do a task",
		Long: `Have a node do a task. There is a fixed list of tasks, and no other commands: nodes
have no shell.`,
	}, a.runInvite(), a.runRestart())
}

// An invitation is how invite codes are made.
type invitation struct{ count, uses, days int }

func (a *app) runInvite() *cobra.Command {
	var want invitation
	cmd := &cobra.Command{
		Use: "invite", Short: "Make codes by which people may sign up", Args: args(cobra.NoArgs),
		Long: `Make codes by which people may sign up, where the policy is "invite". A node with
accounts keeps them; who was given a code is recorded nowhere.`,
		Example: "  leap run invite --count 10 --days 30",
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes := i.In(a.env, "webapp")
			if a.env == "" && len(nodes) == 0 && len(i.Environments()) == 1 {
				nodes = i.In(i.Environments()[0], "webapp")
			}
			if len(nodes) == 0 {
				return fmt.Errorf("no node%s has accounts: choose another environment with --env", a.inEnv())
			}
			if p := i.Provider(nodes[0].Environment); p.EnrollmentPolicy != "invite" {
				a.warnf("the policy is %q: codes are not asked for (enrollment_policy in provider.json)", p.EnrollmentPolicy)
			}
			var made bonafide.Invites
			for _, n := range nodes { // Any of them has the same database.
				if made, err = a.invite(cmd.Context(), i, n, want); err == nil {
					break
				}
			}
			if err != nil {
				return err
			}
			return a.print(made, func() {
				for _, code := range made.Codes {
					fmt.Fprintln(a.out, code)
				}
				if !made.Expires.IsZero() {
					fmt.Fprintf(a.errs, "good until %s\n", made.Expires.Format(time.DateTime))
				}
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&want.count, "count", 1, "`number` of codes")
	f.IntVar(&want.uses, "uses", 1, "`number` of people that can sign up with each")
	f.IntVar(&want.days, "days", 0, "`number` of days that they are good (default: without end)")
	return cmd
}

// invite has a node make invite codes.
func (a *app) invite(ctx context.Context, i *provider.Instance, n *provider.Node, want invitation) (made bonafide.Invites, err error) {
	clients, err := a.clients(ctx, i, []*provider.Node{n}, reach{})
	if err != nil {
		return made, err
	}
	err = clients[0].Task(ctx, "webapp", "invite", bonafide.InviteRequest{Count: want.count, Uses: want.uses, Days: want.days}, &made)
	if err == nil && len(made.Codes) != want.count {
		err = errors.New("the node made another number of codes")
	}
	if err != nil {
		return made, fmt.Errorf("%s: %w", n.Name, err)
	}
	return made, nil
}
