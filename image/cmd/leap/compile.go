package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/provider"
)

// compiled makes what is missing and compiles; unless it is a rehearsal, it
// keeps the result in compiled/.
func (a *app) compiled(rehearse bool) (*provider.Instance, *provider.Vault, *compile.Output, error) {
	i, v, err := a.unlock()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := lost(i); err != nil {
		return nil, nil, nil, err
	}
	if !rehearse {
		made, err := v.Make(compile.Needs(i), a.now())
		for _, m := range made {
			a.sayf("made the secret %s", m)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		if err := a.renew(i, v); err != nil {
			return nil, nil, nil, err
		}
	}
	secrets, err := v.All()
	if err != nil {
		return nil, nil, nil, err
	}
	if rehearse {
		if err := pretend(i, secrets, a); err != nil {
			return nil, nil, nil, err
		}
	}
	out, err := compile.Compile(i, secrets)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, w := range out.Warnings {
		a.warnf("%s", w)
	}
	// The key that signs and those of authorities are in no document.
	maps.Copy(out.Secrets, map[string][]byte{provider.SignerKey: secrets[provider.SignerKey]})
	if rehearse {
		return i, v, out, nil
	}
	return i, v, out, a.keep(i, out)
}

// pretend adds the secrets that would be made.
func pretend(i *provider.Instance, secrets map[string][]byte, a *app) error {
	for _, n := range compile.Needs(i) {
		if _, ok := secrets[n.Name]; !ok {
			value, err := n.New(a.now())
			if err != nil {
				return err
			}
			secrets[n.Name] = value
		}
	}
	return nil
}

func compiledFile(name string) string { return "compiled/" + name + ".json" }

// keep writes the documents and what is remembered of zones, where they changed.
func (a *app) keep(i *provider.Instance, out *compile.Output) error {
	if !maps.Equal(i.Zones, out.Serials) {
		if err := provider.WriteJSON(i.Dir, "zones.json", out.Serials); err != nil {
			return err
		}
	}
	old, err := filepath.Glob(filepath.Join(i.Dir, "compiled", "*.json"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := out.Documents[strings.TrimSuffix(filepath.Base(path), ".json")]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, d := range out.Documents {
		before, err := last(i, name)
		if err == nil && before.Digest() == d.Digest() {
			continue
		}
		if err := provider.WriteJSON(i.Dir, compiledFile(name), d); err != nil {
			return err
		}
	}
	return nil
}

// last is the document that was compiled before; none if there was none.
func last(i *provider.Instance, name string) (node.Document, error) {
	d, _, err := lastSource(i, name)
	return d, err
}

// lastSource is the same, with where everything in it is.
func lastSource(i *provider.Instance, name string) (d node.Document, s *node.Source, err error) {
	text, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(compiledFile(name))))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil, nil
	}
	if err != nil {
		return d, nil, err
	}
	s, err = node.Decode(compiledFile(name), text, &d)
	return d, s, err
}

// lost finds secrets that a node was given and that are here no longer: others in
// their place could make its data unreadable.
func lost(i *provider.Instance) (errs error) {
	for _, n := range i.Nodes {
		d, s, err := lastSource(i, n.Name)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
			if !slices.Contains(i.Secrets, name) {
				errs = errors.Join(errs, s.Errorf("/secrets/"+name, "%s may hold this secret, and secrets/%s.age is missing: restore it; if another one will do, remove %s", n.Name, name, compiledFile(n.Name)))
			}
		}
	}
	return errs
}

func (a *app) compileCommand() *cobra.Command {
	var diff bool
	cmd := &cobra.Command{
		Use: "compile [FILTER]", Short: "Find out what each node shall be",
		Long: `Find out what each node shall be: make secrets and certificates that are missing,
check everything, and write one document for each node into compiled/. Nothing is
sent: "leap deploy" does that, and compiles before. With --diff nothing is written:
it shows what would change since the last time.`,
		RunE: func(_ *cobra.Command, words []string) error {
			if diff {
				return a.compileDiff(words)
			}
			i, _, out, err := a.compiled(false)
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, false)
			if err != nil {
				return err
			}
			digests, rows := map[string]string{}, [][]string{}
			for _, n := range nodes {
				d := out.Documents[n.Name]
				digests[n.Name] = d.Digest()
				rows = append(rows, []string{n.Name, d.Digest()[:12], strings.Join(n.Runs, " ")})
			}
			return a.print(digests, func() { a.table(rows) })
		},
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "show what would change, and write nothing")
	all := &cobra.Command{Use: "all [FILTER]", Short: "The same as compile alone", RunE: cmd.RunE}
	all.Flags().BoolVar(&diff, "diff", false, "show what would change, and write nothing")
	cmd.AddCommand(all, a.compileText("hosts", "Print the names of services and nodes as /etc/hosts has them", hostsText),
		a.compileText("zone", "Print the provider's DNS zone, for another name server", a.zoneText),
		a.compileText("provider.json", "Print what clients fetch before they have an account", bootstrapText), a.compileFirewall())
	return cmd
}

func (a *app) compileFirewall() *cobra.Command {
	return &cobra.Command{
		Use: "firewall", Short: "List the ports that are open on each node, for a firewall in front of them", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			i, _, out, err := a.compiled(true)
			if err != nil {
				return err
			}
			ports := compile.Ports(i, out.Documents)
			return a.print(ports, func() {
				rows := [][]string{{"NODE", "ADDRESS", "PORT", "FROM", "SERVICE"}}
				for _, p := range ports {
					rows = append(rows, []string{p.Node, p.Address, p.Protocol + " " + strconv.Itoa(int(p.Port)), p.From, p.Service})
				}
				a.table(rows)
			})
		},
	}
}

func (a *app) compileDiff(words []string) error {
	i, _, out, err := a.compiled(true)
	if err != nil {
		return err
	}
	nodes, err := a.nodes(i, words, false)
	if err != nil {
		return err
	}
	changes := map[string][]string{}
	for _, n := range nodes {
		before, err := last(i, n.Name)
		if err != nil {
			return err
		}
		changes[n.Name] = difference(before, out.Documents[n.Name])
	}
	return a.print(changes, func() {
		for _, n := range nodes {
			if list := changes[n.Name]; len(list) > 0 {
				fmt.Fprintf(a.out, "%s\n  %s\n", n.Name, strings.Join(list, "\n  "))
			} else {
				fmt.Fprintf(a.out, "%s is as it was\n", n.Name)
			}
		}
	})
}
