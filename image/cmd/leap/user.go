package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/services/protocol/certs"
)

func (a *app) userCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "user", Short: "Operators: who may change the nodes, and who may look",
		Long: `Operators have one of two roles: "deploy" may do everything and can open the
secrets; "read-only" may ask nodes how they are and read their logs.`,
	}, a.userRequest(), a.userAdd(), a.userRemove(), a.userList(), a.userRekey())
}

func (a *app) userRequest() *cobra.Command {
	return &cobra.Command{
		Use: "request NAME", Short: "Make your own keys, and print what an operator needs to make you one", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			op, err := provider.NewOperator(i.Domain(""), args[0])
			if err != nil {
				return err
			}
			req, err := op.Request()
			if err != nil {
				return err
			}
			if err := op.Write(a.keyFile(i.Domain(""))); err != nil {
				return err
			}
			e := json.NewEncoder(a.out)
			e.SetIndent("", "  ")
			return e.Encode(req)
		},
	}
}

func (a *app) userAdd() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add FILE", Short: "Make somebody an operator, by the file that \"leap user request\" printed", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			req, err := provider.ParseRequest(args[0], text)
			if err != nil {
				return err
			}
			u, err := i.AddUser(v, req, role, a.now())
			if err != nil {
				return err
			}
			if role == node.RoleDeploy {
				if err := a.rekey(); err != nil {
					return err
				}
			}
			a.sayf("%s is an operator with the role %s (users/%s.json)", u.Name, u.Role, u.Name)
			return a.print(u, func() {})
		},
	}
	cmd.Flags().StringVar(&role, "role", node.RoleDeploy, "`role`: "+node.RoleDeploy+" or "+node.RoleRead)
	return cmd
}

// rekey encrypts all secrets to those who are operators now.
func (a *app) rekey() error {
	_, v, err := a.unlock()
	if err != nil {
		return err
	}
	return v.Rekey()
}

func (a *app) userRekey() *cobra.Command {
	return &cobra.Command{
		Use: "rekey", Short: "Encrypt all secrets anew, to the operators of now", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.rekey() },
	}
}

func (a *app) userRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Make somebody an operator no longer", Args: args(cobra.ExactArgs(1)),
		Long: `Make somebody an operator no longer. Secrets are encrypted anew without him. Nodes
let him in until they have a document that does not name him: "leap deploy" gives
it to them.

What he has read before he knows. One who could deploy has had the keys of
authorities and nodes, and the key that signs documents: he can no longer reach an
agent with them, but could pretend to be a node, or open a stolen disk. No command
makes those keys anew in place: against that only a new provider helps, or, for one
node's own, "leap node rm", "leap node add" and "leap node identity --reinstall".`,
		RunE: func(cmd *cobra.Command, args []string) error {
			i, v, err := a.unlock()
			if err != nil {
				return err
			}
			op, err := a.operator(i)
			if err != nil {
				return err
			}
			k := slices.IndexFunc(i.Users, func(u *provider.User) bool { return u.Name == args[0] })
			switch {
			case k < 0:
				return fmt.Errorf("there is no operator %q", args[0])
			case op.Name == args[0]:
				return fmt.Errorf("this is you: let another operator do it")
			}
			// Somebody has to be able to open them before anything is taken away.
			if _, err := v.All(); err != nil {
				return err
			}
			if err := a.confirm("Remove the operator " + args[0] + "?"); err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(i.Dir, "users", args[0]+".json")); err != nil {
				return err
			}
			if i.Users[k].Role == node.RoleDeploy {
				if err := a.rekey(); err != nil {
					return err
				}
				a.warnf("%s knows the secrets that were there", args[0])
				if director.HasKey(i, args[0]) {
					a.warnf("he signs what nodes may run, until an admin has run: leap update director admins --remove %s, and leap update director online", args[0])
				}
			}
			a.sayf("%s is no operator any more; next: leap deploy, after which no node lets him in", args[0])
			return a.print(map[string]string{"removed": args[0]}, func() {})
		},
	}
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the operators", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			type row struct {
				Name string `json:"name"`
				Role string `json:"role"`
				Ends string `json:"certificate_ends"`
			}
			list, rows := []row{}, [][]string{{"NAME", "ROLE", "CERTIFICATE ENDS"}}
			for _, u := range i.Users {
				cert, err := certs.ParseCert([]byte(u.Certificate))
				if err != nil {
					return err
				}
				list = append(list, row{u.Name, u.Role, day(cert.NotAfter)})
				rows = append(rows, []string{u.Name, u.Role, day(cert.NotAfter)})
			}
			return a.print(list, func() { a.table(rows) })
		},
	}
}
