package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/image/compile"
	"leap.example/image/provider"
	"leap.example/qemu/cluster"
	"leap.example/qemu/local"
)

// localEnv is the environment whose nodes are machines of "leap local" and
// nothing else.
const localEnv = "local"

// localDir is where the machines of an instance are.
func localDir(i *provider.Instance) string { return filepath.Join(i.Dir, ".leap", "local") }

func (a *app) localCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "local", Short: "Run the nodes as virtual machines on this one, to try things out",
		Long: `Run the nodes as virtual machines on this one, to try things out before there are
any others: the same release, the same documents, on a network of their own that
nothing leaves. It needs QEMU (Debian: qemu-system-x86) and no root.

  leap node add web1 --local services:couchdb,soledad,webapp,mx,dns
  leap local start
  leap test

Nodes that are added with --local are in the environment "local". While they run,
all commands reach them; where there are other nodes too, only when they are named:
"leap test local". Their disks and consoles are below .leap/local.`,
	}, a.localStart(), a.localStop(), a.localList(), a.localConsole(), a.localRemove(), a.localReset(), a.localRun())
}

// lab returns a client of what runs of an instance; nil if nothing does.
func (a *app) lab(ctx context.Context, i *provider.Instance) (*local.Client, local.Lab, error) {
	c, lab, err := local.Find(ctx, localDir(i))
	if errors.Is(err, local.ErrOff) {
		return nil, lab, nil
	}
	return c, lab, err
}

// localNodes returns the nodes that words choose, all of one environment: the one
// called local, if there is such a one and no other is asked for.
func (a *app) localNodes(words []string) (*provider.Instance, []*provider.Node, error) {
	i, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	if a.env == "" && len(i.In(localEnv, "")) > 0 {
		a.env = localEnv
	}
	nodes, err := a.nodes(i, words, false)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range nodes {
		if n.Environment != nodes[0].Environment {
			return nil, nil, errors.New("these nodes are of several environments: choose one with --env")
		}
		_, err := os.Stat(localDisk(i, n.Name))
		if n.Environment != localEnv && n.Mesh.PublicKey != "" && errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s was met as a machine elsewhere, and what is known of it would be lost: add nodes with --local to try things out", n.Name)
		}
	}
	return i, nodes, nil
}

// diskExt is what the name of a file with a disk ends with.
const diskExt = ".disk"

func localDisk(i *provider.Instance, name string) string {
	return filepath.Join(localDir(i), name+diskExt)
}

func names(nodes []*provider.Node) (list []string) {
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return list
}

func (a *app) localStop() *cobra.Command {
	return &cobra.Command{
		Use: "stop [FILTER]", Short: "Switch machines off, as their power buttons do",
		RunE: func(cmd *cobra.Command, words []string) error {
			i, nodes, err := a.localNodes(words)
			if err != nil {
				return err
			}
			c, _, err := a.lab(cmd.Context(), i)
			switch {
			case err != nil:
				return err
			case c == nil:
				a.sayf("no machines are running")
				return nil
			case len(words) > 0:
				return c.Stop(cmd.Context(), names(nodes)...)
			}
			return c.End(cmd.Context(), localDir(i))
		},
	}
}

func (a *app) localList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"status"}, Short: "Show the machines: addresses, consoles, whether they are on", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			_, lab, err := a.lab(cmd.Context(), i)
			if err != nil {
				return err
			}
			return a.print(lab, func() { a.tellLab(i, lab) })
		},
	}
}

func (a *app) tellLab(i *provider.Instance, lab local.Lab) {
	if lab.PID == 0 {
		a.sayf("no machines are running: leap local start")
		return
	}
	rows := [][]string{{"NODE", "ADDRESS", "HERE", "POWER", "CONSOLE"}}
	for _, m := range lab.Nodes {
		power := "off"
		if m.Shut != "" {
			a.warnf("not all ports of %s can be reached from this machine: %s", m.Name, m.Shut)
		}
		if m.On {
			power = "on"
		}
		rows = append(rows, []string{m.Name, m.Address, or(m.Here, "-"), power, m.Console})
	}
	a.table(rows)
	if lab.Resolver != "" && len(i.In(localEnv, "webapp")) > 0 {
		a.tellDoors(i, lab)
	}
	accel, _, _ := strings.Cut(lab.Accel, " ") // Why it is that one is long, and in --json.
	a.sayf("release %s, %s, since %s, process %s", lab.Release, accel, lab.Since.Local().Format(time.DateTime), strconv.Itoa(lab.PID))
}

// tellDoors says how programs of this machine get to a provider whose web node
// runs here.
func (a *app) tellDoors(i *provider.Instance, lab local.Lab) {
	about, err := compile.Bootstrap(i, localEnv)
	web := slices.IndexFunc(lab.Nodes, func(m local.Machine) bool { return slices.Contains(m.Doors, compile.PortWeb) })
	if err != nil || web < 0 {
		return // There is no way to say.
	}
	a.sayf("in a browser:  https://%s/ (its certificate is of the provider's own CA)", lab.Nodes[web].Here)
	a.sayf("as a user:     leapc provider add %s --resolver %s --ca-fingerprint '%s'", about.Domain, lab.Resolver, about.CACertFingerprint)
}

func (a *app) localConsole() *cobra.Command {
	return &cobra.Command{
		Use: "console NAME", Short: "Show what a machine has written to its console since it was switched on", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			path := filepath.Join(localDir(i), args[0]+"-1.serial")
			_, lab, err := a.lab(cmd.Context(), i)
			if err != nil {
				return err
			}
			if k := slices.IndexFunc(lab.Nodes, func(m local.Machine) bool { return m.Name == args[0] }); k >= 0 {
				path = lab.Nodes[k].Console
			}
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s has not been switched on here: leap local start %s", args[0], args[0])
			}
			if err == nil {
				_, err = a.out.Write(harmless(text))
			}
			return err
		},
	}
}

func (a *app) localRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm [FILTER]", Short: "Switch machines off and remove their disks",
		Long: `Switch machines off and remove their disks; with the last one everything goes that is
below .leap/local, consoles too.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			i, nodes, err := a.localNodes(words)
			if err != nil {
				return err
			}
			if _, err := a.wipe(cmd.Context(), i, nodes); err != nil {
				return err
			}
			for _, n := range nodes { // A machine that is made anew may start without firmware.
				if err := os.Remove(filepath.Join(localDir(i), n.Name+cluster.VarsExt)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return clearLocal(localDir(i))
		},
	}
}

// clearLocal removes the directory of machines if there is none left: their consoles,
// their log, and what of the release was unpacked for them.
func clearLocal(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || slices.ContainsFunc(list, func(f fs.DirEntry) bool { return filepath.Ext(f.Name()) == diskExt }) {
		return err
	}
	free, err := local.Lock(dir)
	if err != nil {
		return err
	}
	defer free()
	return os.RemoveAll(dir)
}

func (a *app) localReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset [FILTER]", Short: "Have machines begin anew, with blank disks", Args: args(cobra.ArbitraryArgs),
		Long: `Have machines begin anew, with blank disks. Those that were on are switched on
again, met and deployed.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			i, nodes, err := a.localNodes(words)
			if err != nil {
				return err
			}
			on, err := a.wipe(cmd.Context(), i, nodes)
			if err != nil || len(on) == 0 {
				return err
			}
			return a.startLocal(cmd.Context(), on, starting{})
		},
	}
}

// wipe removes the disks of nodes, and what is known of the machines that they
// were. It returns the names of all that were on: they are off.
func (a *app) wipe(ctx context.Context, i *provider.Instance, nodes []*provider.Node) (on []string, err error) {
	if err := a.confirm(fmt.Sprintf("All that is on the disks of %q will be lost.", names(nodes))); err != nil {
		return nil, err
	}
	c, lab, err := a.lab(ctx, i)
	if err != nil {
		return nil, err
	}
	for _, m := range lab.Nodes {
		if m.On {
			on = append(on, m.Name)
		}
	}
	if c != nil {
		if err := c.End(ctx, localDir(i)); err != nil {
			return on, err
		}
	}
	for _, n := range nodes {
		for _, path := range []string{localDisk(i, n.Name), filepath.Join(localDir(i), n.Name+".identity")} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return on, err
			}
		}
		if err := provider.Set(i.Dir, "nodes/"+n.Name+".json", provider.Member{Pointer: "/mesh/public_key"}); err != nil {
			return on, err
		}
		a.sayf("%s has no disk any more", n.Name)
	}
	return on, nil
}
