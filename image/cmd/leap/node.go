package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/disk"
	"leap.example/image/provider"
)

func (a *app) nodeCommand() *cobra.Command {
	return group(&cobra.Command{Use: "node", Short: "Nodes: the machines of the provider"},
		a.nodeAdd(), a.nodeIdentity(), a.nodeInit(), a.nodeRemove(), a.nodeMove(), a.nodeEnable(true), a.nodeEnable(false))
}

func (a *app) nodeAdd() *cobra.Command {
	var local bool
	cmd := &cobra.Command{
		Use: "add NAME [PROPERTY:VALUE…]", Short: "Add a node", Args: args(cobra.MinimumNArgs(1)),
		Long: `Add a node: write nodes/NAME.json, choose its address in the mesh, and make its
keys and certificates. Lists are written with commas, members of objects with
dots, anything else as JSON. See "leap help provider" for what a node can have.

With --local it is a machine of "leap local": in the environment "local", by the tag
of that name, which is written if it is missing, and with an address of 10.5.5.0/24.`,
		Example: `  leap node add web1 --local services:couchdb,soledad,webapp,mx,dns
  leap node add db1 services:couchdb,soledad ip_address:192.0.2.11 tags:production
  leap node add mail1 services:mx,dns ip_address:192.0.2.12 location.name:Amsterdam \
    'network.interfaces:[{"name":"eth0","addresses":["192.0.2.12/24"],"gateways":["192.0.2.1"]}]'`,
		RunE: func(_ *cobra.Command, args []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			seeds := args[1:]
			if local {
				if seeds, err = localSeeds(i, seeds); err != nil {
					return err
				}
				if i, v, err = a.unlock(); err != nil { // There may be a new tag.
					return err
				}
			}
			next, err := i.AddNode(v, args[0], seeds, a.now())
			if err != nil {
				return err
			}
			n := next.Node(args[0])
			a.sayf("nodes/%s.json is written: %s, %s in the mesh, runs %s", n.Name, n.IPAddress, n.Mesh.Address, or(strings.Join(n.Runs, ", "), "nothing"))
			return a.print(map[string]any{"name": n.Name, "mesh": n.Mesh.Address, "runs": n.Runs}, func() {})
		},
	}
	cmd.Flags().BoolVar(&local, "local", false, "it is a virtual machine on this one")
	return cmd
}

func (a *app) nodeIdentity() *cobra.Command {
	var reinstall bool
	cmd := &cobra.Command{
		Use: "identity NAME TARGET", Short: "Write the small disk by which a new machine learns which node it is", Args: args(cobra.ExactArgs(2)),
		Long: `Write the small disk by which a new machine learns which node it is, whom it obeys
and how its network is reached: 1 MiB, into a file or onto a device. Attach it to
the machine before it is started for the first time. It holds the node's own key:
keep it from others, and destroy it when the node is there.

A machine that has an identity, or whose writable partition is damaged, takes no
other one, unless it says to reinstall: with --reinstall the machine drops all that
it holds when it is started with this disk, databases and mail that waits among it,
and is a new node under that name. It does so once for each disk that is written.
Then: leap node init NAME, and leap deploy. A node of the database is filled by the
others; if it was the only one, restore a backup.`,
		Example: "  leap node identity db1 db1.disk\n  leap node identity db1 db1.disk --reinstall",
		RunE: func(cmd *cobra.Command, args []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			n := i.Node(args[0])
			if n == nil {
				return fmt.Errorf("there is no node %q", args[0])
			}
			secrets, err := v.All()
			if err != nil {
				return err
			}
			id, err := compile.Identity(i, n, secrets)
			if err != nil {
				return err
			}
			if id.Reinstall = reinstall; reinstall {
				if err := a.confirm("A machine that is started with this disk loses all that is on its writable partition."); err != nil {
					return err
				}
				id.Written = a.now().UTC().Truncate(time.Second)
			}
			content, err := compile.SignIdentity(id, secrets)
			if err != nil {
				return err
			}
			if err := a.destroy(args[1]); err != nil {
				return err
			}
			if err := disk.FlashIdentity(cmd.Context(), args[1], content); err != nil {
				return err
			}
			a.sayf("the identity of %s is on %s", n.Name, args[1])
			return a.print(map[string]any{"node": n.Name, "target": args[1], "reinstall": reinstall}, func() {})
		},
	}
	cmd.Flags().BoolVar(&reinstall, "reinstall", false, "have a machine that is a node drop all that it holds, and become this one")
	return cmd
}

func (a *app) nodeInit() *cobra.Command {
	var at reach
	cmd := &cobra.Command{
		Use: "init [FILTER]", Short: "Meet nodes that were started for the first time",
		Long: `Meet nodes that were started for the first time: their agents prove themselves by
the identity that was given to them, and tell the key in the mesh that they have
made. It is written into nodes/NAME.json; deploy then, and the other nodes know it.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			met, err := a.meet(cmd.Context(), words, at)
			if err != nil {
				return err
			}
			return a.print(met, func() {})
		},
	}
	at.flags(cmd)
	return cmd
}

// meet asks nodes for their keys in the mesh, and remembers them.
func (a *app) meet(ctx context.Context, words []string, at reach) ([]node.Status, error) {
	i, nodes, clients, err := a.reachNodes(ctx, words, at)
	if err != nil {
		return nil, err
	}
	met := make([]node.Status, len(nodes))
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for k := range nodes {
		wg.Go(func() { met[k], errs[k] = clients[k].Status(ctx) })
	}
	wg.Wait()
	failed := 0
	for k, n := range nodes {
		switch {
		case errs[k] != nil:
			failed++
			a.warnf("%s: %v", n.Name, errs[k])
			continue
		case n.Mesh.PublicKey != "" && n.Mesh.PublicKey != met[k].MeshKey:
			a.warnf("%s has a new key in the mesh: it was installed anew", n.Name)
		}
		if met[k].MeshKey != "" {
			if err := provider.Set(i.Dir, "nodes/"+n.Name+".json", provider.Member{Pointer: "/mesh/public_key", Value: met[k].MeshKey}); err != nil {
				return nil, err
			}
		}
		a.sayf("%s: release %s", n.Name, met[k].Release)
	}
	if failed > 0 {
		return nil, fmt.Errorf("%d of %d nodes were not met", failed, len(nodes))
	}
	return met, nil
}

func (a *app) nodeRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a node with its keys and certificates", Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			if i.Node(args[0]) == nil {
				return fmt.Errorf("there is no node %q", args[0])
			}
			if err := a.confirm("Remove the node " + args[0] + " with its keys?"); err != nil {
				return err
			}
			if err := i.RemoveNode(args[0]); err != nil {
				return err
			}
			a.sayf("%s is removed, with its keys and certificates; next: leap deploy, so that the others forget it", args[0])
			return a.print(map[string]string{"removed": args[0]}, func() {})
		},
	}
}

func (a *app) nodeMove() *cobra.Command {
	return &cobra.Command{
		Use: "mv NAME NEW", Short: "Give a node another name", Args: args(cobra.ExactArgs(2)),
		Long: `Give a node another name. The machine that runs under the old name knows nothing of
it, and takes no document of another node: it must be installed anew ("leap node
identity NEW FILE --reinstall"), and loses what it holds.`,
		RunE: func(_ *cobra.Command, args []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			if _, err = i.MoveNode(v, args[0], args[1], a.now()); err != nil {
				return err
			}
			a.sayf("%s is called %s; next: leap node identity %s FILE --reinstall, and leap deploy", args[0], args[1], args[1])
			return a.print(map[string]string{"name": args[1], "was": args[0]}, func() {})
		},
	}
}

func (a *app) nodeEnable(on bool) *cobra.Command {
	use, short := "disable", "Leave nodes out of everything, and keep what is known of them"
	var to any = false
	if on {
		use, short, to = "enable", "Take nodes in again", nil
	}
	return &cobra.Command{
		Use: use + " FILTER", Short: short, Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, true)
			if err != nil {
				return err
			}
			for _, n := range nodes {
				if err := provider.Set(i.Dir, "nodes/"+n.Name+".json", provider.Member{Pointer: "/enabled", Value: to}); err != nil {
					return err
				}
				a.sayf("%s is %sd", n.Name, use)
			}
			return a.print(map[string][]string{use + "d": names(nodes)}, func() {})
		},
	}
}
