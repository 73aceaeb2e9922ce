package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leap.example/appliance/node"
	"leap.example/image/compile"
	"leap.example/image/deploy"
	"leap.example/image/provider"
)

// reach says how a node is reached if not as its file says.
type reach struct {
	ip   string
	port uint16
}

func (r *reach) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.ip, "ip", "", "`address` at which the node is now, if it is not ip_address; with one node")
	cmd.Flags().Uint16Var(&r.port, "port", 0, "`port` of its agent now, if it is another")
}

// reachNodes opens the instance and returns the nodes that words name, with a
// client for each.
func (a *app) reachNodes(words []string, at reach) (*provider.Instance, []*provider.Node, []*deploy.Client, error) {
	i, err := a.open()
	if err != nil {
		return nil, nil, nil, err
	}
	nodes, err := a.nodes(i, words, false)
	if err != nil {
		return nil, nil, nil, err
	}
	clients, err := a.clients(i, nodes, at)
	return i, nodes, clients, err
}

// clients returns a client for each node's agent.
func (a *app) clients(i *provider.Instance, nodes []*provider.Node, at reach) ([]*deploy.Client, error) {
	if at.ip != "" && len(nodes) != 1 {
		return nil, fmt.Errorf("--ip is for one node, and %d are chosen", len(nodes))
	}
	op, err := a.operator(i)
	if err != nil {
		return nil, err
	}
	access := deploy.Access{Roots: x509.NewCertPool()}
	if access.Certificate, err = i.Certificate(op); err != nil {
		return nil, err
	}
	if !access.Roots.AppendCertsFromPEM(i.Files["ca/node_ca.crt"]) {
		return nil, errors.New("files/ca/node_ca.crt is missing: run \"leap cert ca\"")
	}
	var list []*deploy.Client
	for _, n := range nodes {
		port := i.Provider(n.Environment).Agent.Port
		if at.port != 0 {
			port = at.port
		}
		list = append(list, access.NewClient(net.JoinHostPort(or(at.ip, n.IPAddress.String()), strconv.Itoa(int(port))), i.AgentName(n)))
	}
	return list, nil
}

func (a *app) deployCommand() *cobra.Command {
	var (
		at     reach
		dry    bool
		atOnce int
	)
	cmd := &cobra.Command{
		Use: "deploy [FILTER]", Aliases: []string{"d"}, Short: "Make nodes what the provider says",
		Long: `Compile, and push to each node what it shall be. A node that is so already is left
alone. A node takes a document on trial: if its services do not get healthy, or you
can no longer reach it, it goes back to what it was and says why.

Several nodes change at once, those of the database one after the other once they
work. Interrupt it whenever you like: a node that has begun goes on by itself.`,
		RunE: func(cmd *cobra.Command, words []string) error {
			i, _, out, err := a.compiled(dry)
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, false)
			if err != nil {
				return err
			}
			targets, err := a.targets(i, nodes, out, at)
			if err != nil {
				return err
			}
			signer, err := compile.Signer(out.Secrets)
			if err != nil {
				return err
			}
			results := deploy.Push(cmd.Context(), targets, deploy.Options{
				Signer: signer, Secrets: out.Secrets, AtOnce: atOnce, DryRun: dry,
				Told: func(name string, e node.Event) { fmt.Fprintf(a.errs, "%s: %s\n", name, e.Text) },
			})
			return a.report(i, results, dry)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "ask the nodes, and change nothing")
	cmd.Flags().IntVar(&atOnce, "at-once", 4, "`number` of nodes that change at the same time")
	at.flags(cmd)
	return cmd
}

func (a *app) targets(i *provider.Instance, nodes []*provider.Node, out *compile.Output, at reach) ([]deploy.Target, error) {
	now, err := a.clients(i, nodes, at)
	if err != nil {
		return nil, err
	}
	next, err := a.clients(i, nodes, reach{})
	if err != nil {
		return nil, err
	}
	var list []deploy.Target
	for k, n := range nodes {
		t := deploy.Target{Client: now[k], Document: out.Documents[n.Name], Alone: n.Has("bigcouch")}
		if at != (reach{}) {
			t.Next = next[k]
		}
		list = append(list, t)
	}
	return list, nil
}

// report prints results and remembers them.
func (a *app) report(i *provider.Instance, results []deploy.Result, dry bool) error {
	failed := 0
	rows := [][]string{}
	for _, r := range results {
		number := "-"
		if r.Generation.Number > 0 {
			number = strconv.FormatUint(r.Generation.Number, 10)
		}
		rows = append(rows, []string{r.Node, r.Outcome, number, r.Error})
		if !r.OK() {
			failed++
		}
		if dry || r.Outcome == deploy.Unchanged {
			continue
		}
		if err := a.remember(i, r); err != nil {
			return err
		}
	}
	if err := a.print(results, func() { a.table(rows) }); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d nodes are not what they should be", failed, len(results))
	}
	return nil
}

// An Entry is one line of a node's history.
type entry struct {
	Time     time.Time `json:"time"`
	Operator string    `json:"operator"`
	deploy.Result
}

func historyFile(name string) string { return "history/" + name + ".jsonl" }

func (a *app) remember(i *provider.Instance, r deploy.Result) error {
	op, err := a.operator(i)
	if err != nil {
		return err
	}
	line, err := json.Marshal(entry{a.now().UTC().Truncate(time.Second), op.Name, r})
	if err != nil {
		return err
	}
	before, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(historyFile(r.Node))))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return provider.Write(i.Dir, historyFile(r.Node), append(append(before, line...), '\n'), 0o644)
}

func (a *app) historyCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "history [FILTER]", Short: "Show what was deployed from this directory, by whom",
		RunE: func(_ *cobra.Command, words []string) error {
			i, err := a.open()
			if err != nil {
				return err
			}
			nodes, err := a.nodes(i, words, true)
			if err != nil {
				return err
			}
			list, rows := []entry{}, [][]string{}
			for _, n := range nodes {
				text, err := os.ReadFile(filepath.Join(i.Dir, filepath.FromSlash(historyFile(n.Name))))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				lines := strings.Split(strings.TrimSpace(string(text)), "\n")
				for _, line := range lines[max(0, len(lines)-count):] {
					if line == "" {
						continue
					}
					var e entry
					if err := json.Unmarshal([]byte(line), &e); err != nil {
						return fmt.Errorf("%s: %w", historyFile(n.Name), err)
					}
					list = append(list, e)
					rows = append(rows, []string{e.Time.Format(time.DateTime), e.Node, e.Outcome, strconv.FormatUint(e.Generation.Number, 10), e.Operator, e.Error})
				}
			}
			return a.print(list, func() { a.table(rows) })
		},
	}
	cmd.Flags().IntVar(&count, "last", 10, "`number` of entries of each node")
	return cmd
}
