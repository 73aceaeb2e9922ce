package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
)

func (a *app) secretCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "secret", Short: "Secrets that nodes are given",
		Long: `Secrets that nodes are given. "leap compile" makes what is missing; a few come from
elsewhere: the key cert.DOMAIN.key of a certificate that the world trusts, or the
passwords password.NAME of an external database. Those of an environment begin with
its name: production.password.webapp.`,
	}, &cobra.Command{
		Use: "ls", Short: "List the names of all secrets", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			return a.print(append([]string{}, i.Secrets...), func() {
				for _, s := range i.Secrets {
					fmt.Fprintln(a.out, s)
				}
			})
		},
	}, &cobra.Command{
		Use: "show SECRET", Short: "Print a secret, as it is", Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			_, v, err := a.unlock()
			if err != nil {
				return err
			}
			value, err := v.Get(args[0])
			if err == nil {
				_, err = a.out.Write(value)
			}
			return err
		},
	}, &cobra.Command{
		Use: "set SECRET FILE", Short: "Keep the content of a file, or of standard input (-), as a secret", Args: args(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			_, v, err := a.unlock()
			if err != nil {
				return err
			}
			var value []byte
			if args[1] == "-" {
				value, err = io.ReadAll(a.in)
			} else {
				value, err = os.ReadFile(args[1])
			}
			if err != nil {
				return err
			}
			if node.Guessable(value) {
				return fmt.Errorf("the value for %s can be guessed: documents, which stand in compiled/ and which every operator reads, name secrets by their SHA-256. Take 20 random characters or more, like those of \"openssl rand -hex 24\"", args[0])
			}
			if old, err := v.Get(args[0]); err == nil && !bytes.Equal(old, value) {
				if err := a.confirm("Replace the secret " + args[0] + "?"); err != nil {
					return err
				}
			}
			if err := v.Put(args[0], value); err != nil {
				return err
			}
			a.sayf("secrets/%s.age is written; next: leap deploy", args[0])
			return a.print(map[string]string{"secret": args[0]}, func() {})
		},
	})
}
