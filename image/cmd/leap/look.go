package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leap.example/image/provider"
	"leap.example/services/protocol/certs"
	public "leap.example/services/protocol/provider"
)

func (a *app) inspectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "inspect NAME|FILE", Short: "Show all that is said about a node, or what a certificate is", Args: args(cobra.ExactArgs(1)),
		Example: "  leap inspect db1\n  leap inspect files/ca/ca.crt",
		RunE: func(_ *cobra.Command, args []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			if n := i.Node(strings.TrimSuffix(strings.TrimPrefix(args[0], "nodes/"), ".json")); n != nil {
				var text bytes.Buffer
				if err := json.Indent(&text, n.JSON(), "", "  "); err != nil {
					return err
				}
				fmt.Fprintln(a.out, text.String())
				return nil
			}
			name := strings.TrimPrefix(path.Clean(args[0]), "files/")
			text, ok := i.Files[name]
			if !ok {
				return fmt.Errorf("there is no node and no file %q", args[0])
			}
			cert, err := certs.ParseCert(text)
			if err != nil {
				fmt.Fprint(a.out, string(text))
				return nil
			}
			return a.print(map[string]any{
				"subject": cert.Subject.String(), "issuer": cert.Issuer.String(), "names": cert.DNSNames,
				"begins": cert.NotBefore, "ends": cert.NotAfter, "fingerprint": public.FingerprintOf(cert.Raw),
			}, func() {
				a.table([][]string{
					{"subject", cert.Subject.String()},
					{"issuer", cert.Issuer.String()},
					{"names", strings.Join(cert.DNSNames, " ")},
					{"good", day(cert.NotBefore) + " to " + day(cert.NotAfter)},
					{"fingerprint", public.FingerprintOf(cert.Raw)},
				})
			})
		},
	}
}

func (a *app) listCommand() *cobra.Command {
	var disabled bool
	cmd := &cobra.Command{
		Use: "list [FILTER]", Aliases: []string{"ls"}, Short: "List nodes, services and tags",
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			var nodes []*provider.Node
			if len(i.Nodes) > 0 {
				if nodes, err = a.nodes(i, words, disabled); err != nil {
					return err
				}
			}
			list := struct {
				Nodes    []string            `json:"nodes"`
				Services map[string][]string `json:"services"`
				Tags     map[string][]string `json:"tags"`
			}{[]string{}, map[string][]string{}, map[string][]string{}}
			for _, n := range nodes {
				list.Nodes = append(list.Nodes, n.Name)
				for _, s := range n.Runs {
					list.Services[s] = append(list.Services[s], n.Name)
				}
				for _, t := range n.Tags {
					list.Tags[t] = append(list.Tags[t], n.Name)
				}
			}
			return a.print(list, func() {
				rows := [][]string{{"NODES", strings.Join(list.Nodes, " ")}}
				for _, part := range []struct {
					title string
					of    map[string][]string
				}{{"SERVICES", list.Services}, {"TAGS", list.Tags}} {
					rows = append(rows, []string{part.title, ""})
					for _, name := range slices.Sorted(maps.Keys(part.of)) {
						rows = append(rows, []string{"  " + name, strings.Join(part.of[name], " ")})
					}
				}
				a.table(rows)
			})
		},
	}
	cmd.Flags().BoolVar(&disabled, "disabled", false, "also nodes that are disabled")
	return cmd
}

func (a *app) infoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "info [FILTER]", Short: "Show addresses, names, services and certificates of nodes, without asking them",
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, true)
			if err != nil {
				return err
			}
			type info struct {
				Name        string   `json:"name"`
				FullName    string   `json:"full_name"`
				Environment string   `json:"environment,omitempty"`
				Enabled     bool     `json:"enabled"`
				Address     string   `json:"ip_address"`
				Mesh        string   `json:"mesh"`
				Met         bool     `json:"met"`
				Runs        []string `json:"runs"`
				Tags        []string `json:"tags,omitempty"`
				Attention   string   `json:"attention,omitempty"`

				Entries []netip.Addr `json:"gateway_addresses,omitempty"`
			}
			list := []info{}
			for _, n := range nodes {
				one := info{n.Name, i.FullName(n), n.Environment, n.IsEnabled(), n.IPAddress.String(), n.Mesh.Address.String(), n.Mesh.PublicKey != "", n.Runs, n.Tags, "", nil}
				if n.Has("gateway") {
					one.Entries = n.Entries()
				}
				if err := i.Expiring(n, a.now()); err != nil && n.IsEnabled() {
					one.Attention = err.Error()
					a.status = exitWarnings
				}
				list = append(list, one)
			}
			return a.print(list, func() {
				for _, o := range list {
					rows := [][]string{{o.Name, o.FullName}, {"  address", o.Address}, {"  mesh", o.Mesh}, {"  environment", or(o.Environment, "-")}, {"  runs", or(strings.Join(o.Runs, " "), "-")}}
					if len(o.Entries) > 0 {
						rows = append(rows, []string{"  gateway", strings.Trim(fmt.Sprint(o.Entries), "[]")})
					}
					if len(o.Tags) > 0 {
						rows = append(rows, []string{"  tags", strings.Join(o.Tags, " ")})
					}
					if !o.Enabled {
						rows = append(rows, []string{"  disabled", ""})
					}
					if !o.Met {
						rows = append(rows, []string{"  not met", "leap node init " + o.Name})
					}
					a.table(rows)
					if o.Attention != "" {
						a.warnf("%s", o.Attention)
					}
				}
			})
		},
	}
}
