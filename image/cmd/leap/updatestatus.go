package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/director"
	"leap.example/image/provider"
	"leap.example/updater/target"
)

// updatesNow is how it stands with updates, for programs.
type updatesNow struct {
	Allowed []director.Allowed     `json:"allowed"`
	Newer   []string               `json:"newer"`            // Versions that the vendor has signed and that are not allowed.
	Vendor  string                 `json:"vendor,omitempty"` // Why the vendor's repository could not be seen.
	Copies  map[string][]node.Copy `json:"copies"`           // By node.
	Roles   []rolesEnd             `json:"roles"`
	Nodes   map[string]string      `json:"nodes"` // Releases that run.
}

// rolesEnd is when a role of the director ends.
type rolesEnd struct {
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}

func (a *app) updateStatusCommand() *cobra.Command {
	var source string
	var offline bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show which releases are allowed, and what the nodes have", Args: args(cobra.NoArgs),
		Long: `Show which releases are allowed, which newer ones the vendor has signed, which run, and
what the nodes that keep copies have of both repositories. The exit status is 2 if
something wants your attention.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i, d, err := a.seeDirector()
			if err != nil {
				return err
			}
			now := updatesNow{Newer: []string{}, Copies: map[string][]node.Copy{}, Nodes: map[string]string{}}
			if now.Allowed, err = d.Allowed(); err != nil {
				return err
			}
			roles, err := d.Roles()
			if err != nil {
				return err
			}
			for _, r := range roles {
				now.Roles = append(now.Roles, rolesEnd{r.Role, r.Expires})
			}
			if !offline {
				a.seeVendor(cmd.Context(), i, source, &now)
			}
			a.seeNodes(cmd.Context(), i, &now)
			err = a.print(now, func() { a.tellUpdates(now) })
			a.dueRoles(roles)
			return err
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "`directory` or bundle with the vendor's repository (default: his URLs)")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the vendor")
	return cmd
}

// seeVendor looks for what the vendor has signed beyond what is allowed.
func (a *app) seeVendor(ctx context.Context, i *provider.Instance, source string, now *updatesNow) {
	list, err := a.signed(ctx, i, source)
	if err != nil {
		a.status, now.Vendor = exitWarnings, err.Error()
		a.warnf("%v", err)
		return
	}
	newest, there := "", map[string]bool{}
	for _, one := range now.Allowed {
		there[one.Version] = true
		if target.Compare(one.Version, newest) > 0 {
			newest = one.Version
		}
	}
	for _, t := range list {
		v := t.Description.Version
		if !there[v] && (newest == "" || target.Compare(v, newest) > 0) {
			there[v] = true
			now.Newer = append(now.Newer, v)
		}
	}
}

// seeNodes asks the nodes what they run, and what they have copied.
func (a *app) seeNodes(ctx context.Context, i *provider.Instance, now *updatesNow) {
	nodes, err := a.live(i, nil)
	if err != nil {
		return // There are none.
	}
	clients, err := a.clients(ctx, i, nodes, reach{})
	if err != nil {
		a.warnf("%v", err)
		return
	}
	states, errs := make([]node.Status, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for k := range nodes {
		wg.Go(func() { states[k], errs[k] = clients[k].Status(ctx) })
	}
	wg.Wait()
	for k, n := range nodes {
		if errs[k] != nil {
			a.status = exitWarnings
			a.warnf("%s: %v", n.Name, errs[k])
			continue
		}
		now.Nodes[n.Name] = states[k].Release
		if n.Updates.Mirror == nil {
			continue
		}
		now.Copies[n.Name] = states[k].Mirror
		for _, c := range states[k].Mirror {
			if c.Error != "" || a.now().After(c.Expires) {
				a.status = exitWarnings
				a.warnf("%s: %s", n.Name, tellCopy(c))
			}
		}
	}
}

func (a *app) tellUpdates(now updatesNow) {
	rows := [][]string{}
	for _, one := range now.Allowed {
		who, from := "all nodes", ""
		if len(one.Permission.Nodes) > 0 {
			who = strings.Join(one.Permission.Nodes, ", ")
		}
		if !one.Permission.From.IsZero() {
			from = "from " + one.Permission.From.UTC().Format("2006-01-02 15:04")
		}
		rows = append(rows, []string{"allowed", one.Version, one.Arch, who, from})
	}
	for _, v := range now.Newer {
		rows = append(rows, []string{"newer", v, "", "leap update allow " + v})
	}
	if len(rows) == 0 {
		rows = append(rows, []string{"nothing is allowed, and the vendor has signed nothing"})
	}
	for _, name := range slices.Sorted(maps.Keys(now.Nodes)) {
		rows = append(rows, []string{"runs", now.Nodes[name], "", name})
	}
	a.table(rows)
	for _, name := range slices.Sorted(maps.Keys(now.Copies)) {
		for _, c := range now.Copies[name] {
			a.sayf("%s has %s", name, tellCopy(c))
		}
	}
}
