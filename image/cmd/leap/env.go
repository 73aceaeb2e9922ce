package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
)

func (a *app) envCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "env", Short: "Environments: nodes that know each other",
		Long: `A node's environment is what its file or one of its tags says. Nodes of different
environments know nothing of each other. Pin one, and all commands are about its
nodes alone, on this machine.`,
	}, &cobra.Command{
		Use: "ls", Short: "List the environments", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			type row struct {
				Environment string `json:"environment"`
				Nodes       int    `json:"nodes"` // That are enabled.
				Pinned      bool   `json:"pinned"`
			}
			list, rows := []row{}, [][]string{}
			for _, e := range i.Environments() {
				one, mark := row{e, len(i.In(e, "")), e == a.env && e != ""}, ""
				if one.Pinned {
					mark = "pinned"
				}
				list = append(list, one)
				rows = append(rows, []string{or(e, "(none)"), fmt.Sprintf("%d nodes", one.Nodes), mark})
			}
			return a.print(list, func() { a.table(rows) })
		},
	}, &cobra.Command{
		Use: "pin ENVIRONMENT", Short: "Have all commands be about one environment", Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			a.env = args[0]
			i, err := a.open()
			if err != nil {
				return err
			}
			if !slices.Contains(i.Environments(), args[0]) {
				return fmt.Errorf("no node is in the environment %q", args[0])
			}
			if err := provider.Write(i.Dir, pinFile, []byte(args[0]+"\n"), 0o644); err != nil {
				return err
			}
			a.sayf("commands are about the environment %s now, on this machine; \"leap env unpin\" ends that", args[0])
			return a.print(map[string]string{"pinned": args[0]}, func() {})
		},
	}, &cobra.Command{
		Use: "unpin", Short: "Have commands be about all environments again", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			dir, err := provider.Find(a.dir)
			if err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(pinFile))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			a.sayf("commands are about all environments")
			return a.print(map[string]string{"pinned": ""}, func() {})
		},
	})
}
