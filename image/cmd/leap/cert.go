package main

import (
	"slices"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
)

func (a *app) certCommand() *cobra.Command {
	return group(&cobra.Command{Use: "cert", Short: "Certificates"}, a.certCA(), a.certUpdate())
}

func (a *app) certCA() *cobra.Command {
	var renew bool
	cmd := &cobra.Command{
		Use: "ca", Short: "Make the certificate authorities that are missing or end soon", Args: args(cobra.NoArgs),
		Long: `Make the certificate authorities that are missing, and the key that signs what
nodes obey; "leap new" has made them all. Those that end within a year get a new
certificate for the same key and name, so that all they have signed stays good;
"leap compile" and "leap deploy" do that by themselves.

Not files/ca/ca.crt: clients know it by its fingerprint, and new ones must be given
the new one. With --renew it is made anew too, if it ends within a year.`,
		RunE: func(*cobra.Command, []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			made, err := i.MakeAuthorities(v, a.now())
			if err == nil {
				var more []string
				more, err = i.RenewAuthorities(v, renew, a.now())
				made = append(made, more...)
			}
			return a.tellMade(made, err)
		},
	}
	cmd.Flags().BoolVar(&renew, "renew", false, "also the one that clients know by its fingerprint")
	return cmd
}

// tellMade says what was made, and returns err.
func (a *app) tellMade(made []string, err error) error {
	for _, m := range made {
		a.sayf("made %s", m)
	}
	if err != nil {
		return err
	}
	return a.print(append([]string{}, made...), func() {
		if len(made) == 0 {
			a.sayf("nothing to do")
		}
	})
}

func (a *app) certUpdate() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "update [FILTER]", Short: "Renew the certificates of nodes and operators that need it",
		Long: `Renew the certificates that are missing, end within 60 days or have other names
than they should, of nodes and of all operators. Keys stay as they are. "leap
compile" and "leap deploy" do it by themselves.`,
		RunE: func(_ *cobra.Command, words []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, false)
			if err != nil {
				return err
			}
			made, err := i.UpdateCerts(v, nodes, force, a.now())
			if err == nil {
				var more []string
				more, err = i.UpdateUsers(v, force, a.now())
				made = append(made, more...)
			}
			return a.tellMade(made, err)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "renew all of them")
	return cmd
}

// renew makes the certificates that need it, of authorities, operators and nodes.
func (a *app) renew(i *provider.Instance, v *provider.Vault) error {
	for _, kind := range []func() ([]string, error){
		func() ([]string, error) { return i.RenewAuthorities(v, false, a.now()) },
		func() ([]string, error) { return i.UpdateUsers(v, false, a.now()) },
		func() ([]string, error) {
			return i.UpdateCerts(v, slices.DeleteFunc(slices.Clone(i.Nodes), func(n *provider.Node) bool { return !n.IsEnabled() }), false, a.now())
		},
	} {
		made, err := kind()
		for _, m := range made {
			a.sayf("made %s", m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
